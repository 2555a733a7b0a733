//! The record of processing (GDPR 30) as far as the software knows it: what is kept, what for, how long,
//! and who gets it. Who answers for it, and why it is lawful, the operator must add.

use std::fmt::Write as _;

use crate::Country;
use crate::egress::Destination;
use crate::retention::{Kind, Terms};
use crate::schema::{About, Column, Database, TABLES, Table, Type};

/// One row for each table, as Markdown.
pub fn record_of_processing(terms: &Terms) -> String {
    let mut text = String::from(
        "| what | purpose | whose data | categories of data | kept | protection |\n|---|---|---|---|---|---|\n",
    );
    for table in TABLES {
        let row = [
            format!("`{}`", table.name),
            table.purpose.into(),
            whose(table).into(),
            categories(table),
            terms.words(table.kind),
            protection(table).into(),
        ];
        line(&mut text, &row);
    }
    text
}

/// One row for each column, as Markdown.
pub fn columns() -> String {
    let mut text = String::from(
        "| table | column | type | category | sealed | to the subject | purpose |\n|---|---|---|---|---|---|---|\n",
    );
    let yes = |it: bool| (if it { "yes" } else { "no" }).to_owned();
    for table in TABLES {
        for column in table.columns {
            let row = [
                format!("`{}`", table.name),
                format!("`{}`", column.name),
                kept_as(column),
                column.category.word().into(),
                yes(column.is_sealed()),
                yes(column.export),
                column.purpose.into(),
            ];
            line(&mut text, &row);
        }
    }
    text
}

/// Who receives data, and where they are, as Markdown.
pub fn destinations(all: &[Destination], residency: Option<Country>) -> String {
    let mut text = String::from(
        "| recipient | kind | country | another country | needs | third party |\n|---|---|---|---|---|---|\n",
    );
    for destination in all {
        let scopes: Vec<String> = destination.scopes.iter().map(ToString::to_string).collect();
        let abroad = match residency {
            Some(home) if home == destination.country => "no",
            Some(_) => "yes",
            None => "no residency is set",
        };
        let row = [
            format!("`{}`", destination.name),
            destination.kind.word().into(),
            destination.country.to_string(),
            abroad.into(),
            if scopes.is_empty() { "what follows from its kind".into() } else { scopes.join(", ") },
            (if destination.own { "no" } else { "yes" }).into(),
        ];
        line(&mut text, &row);
    }
    text
}

fn line(text: &mut String, cells: &[String]) {
    let cells: Vec<String> = cells.iter().map(|c| c.replace('|', "\\|").replace('\n', " ")).collect();
    // Writing to a string does not fail.
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn kept_as(column: &Column) -> String {
    let word = match column.ty {
        Type::Int => "integer",
        Type::Text => "text",
        Type::Bytes => "bytes",
    };
    if column.null { format!("{word} or none") } else { word.into() }
}

fn whose(table: &Table) -> &'static str {
    match table.about {
        About::Subjects => "callers and called",
        About::Nobody => "nobody's",
    }
}

fn categories(table: &Table) -> String {
    let mut words: Vec<&str> = vec![];
    for column in table.columns {
        if !words.contains(&column.category.word()) {
            words.push(column.category.word());
        }
    }
    words.join(", ")
}

fn protection(table: &Table) -> &'static str {
    match (table.database, table.kind, table.about) {
        (Database::Keystore, ..) => "each key wrapped by the one above it; a database of its own",
        (_, Kind::Content, _) => "content sealed under a key of the subject; subjects by pseudonym",
        (_, Kind::Recording, _) => "sound in files, sealed under a key of the subject; subjects by pseudonym",
        (_, _, About::Nobody) => "no content; names nobody",
        (_, _, About::Subjects) => "no content; subjects by pseudonym",
    }
}
