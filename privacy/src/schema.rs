//! Every table and column that is stored, declared once: what for, of what sort, for how long, sealed or
//! not. What is not declared is not stored. It makes the SQL; it runs none.

mod declared;
mod record;

use std::fmt;

use jiff::civil::Date;
use jiff::tz::Offset;

use crate::retention::Kind;

pub use declared::TABLES;
pub use record::{columns, destinations, record_of_processing};

/// The two that are supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    Sqlite,
    Postgres,
}

/// The keystore is a database of its own, which no backup of the store contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    Store,
    Keystore,
}

/// How a value is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// 64 bits with a sign; names and numbers without one are stored bit by bit.
    Int,
    Text,
    Bytes,
}

/// What sort of data a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Category {
    Metadata,
    /// What was said, or how it sounded. Always sealed.
    Content,
    Consent,
    /// Of keys, and what is needed to open with one.
    Key,
    Register,
}

/// Who a table is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Callers and called: it has a column `subject`, a pseudonym.
    Subjects,
    Nobody,
}

#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    pub ty: Type,
    pub null: bool,
    /// As SQL.
    pub default: Option<&'static str>,
    pub category: Category,
    /// Goes to the subject with what is held of them.
    pub export: bool,
    pub purpose: &'static str,
}

#[derive(Debug, Clone, Copy)]
pub struct Table {
    pub name: &'static str,
    pub database: Database,
    pub kind: Kind,
    pub about: About,
    pub purpose: &'static str,
    pub columns: &'static [Column],
    pub key: &'static [&'static str],
    pub indexes: &'static [&'static [&'static str]],
    /// The column of milliseconds by which PostgreSQL keeps it in months.
    pub months: Option<&'static str>,
}

impl Column {
    /// Encrypted under the subject's keys before it is stored.
    pub fn is_sealed(&self) -> bool {
        self.category == Category::Content
    }

    fn sql(&self, dialect: Dialect) -> String {
        let null = if self.null { "" } else { " NOT NULL" };
        let default = self.default.map(|d| format!(" DEFAULT {d}")).unwrap_or_default();
        format!("{} {}{null}{default}", self.name, self.ty.sql(dialect))
    }
}

impl Type {
    pub fn sql(self, dialect: Dialect) -> &'static str {
        match (self, dialect) {
            (Self::Int, Dialect::Sqlite) => "INTEGER",
            (Self::Int, Dialect::Postgres) => "BIGINT",
            (Self::Text, _) => "TEXT",
            (Self::Bytes, Dialect::Sqlite) => "BLOB",
            (Self::Bytes, Dialect::Postgres) => "BYTEA",
        }
    }
}

impl Category {
    pub fn word(self) -> &'static str {
        match self {
            Self::Metadata => "metadata",
            Self::Content => "content",
            Self::Consent => "consent",
            Self::Key => "key",
            Self::Register => "register",
        }
    }
}

impl Table {
    pub fn column(&self, name: &str) -> Option<&'static Column> {
        self.columns.iter().find(|c| c.name == name)
    }

    /// The statements that make it and its indexes where they are missing, one a string.
    pub fn create(&self, dialect: Dialect) -> Vec<String> {
        let columns = self.columns.iter().map(|c| format!("    {}", c.sql(dialect)));
        let key = format!("    PRIMARY KEY ({})", self.key.join(", "));
        let body: Vec<String> = columns.chain([key]).collect();
        let after = match (dialect, self.months) {
            (Dialect::Sqlite, _) => " STRICT".to_owned(),
            (Dialect::Postgres, Some(column)) => format!(" PARTITION BY RANGE ({column})"),
            (Dialect::Postgres, None) => String::new(),
        };
        let mut made = vec![format!("CREATE TABLE IF NOT EXISTS {} (\n{}\n){after}", self.name, body.join(",\n"))];
        if dialect == Dialect::Postgres && self.months.is_some() {
            // A row of a month that nobody has made yet is kept all the same.
            made.push(format!("CREATE TABLE IF NOT EXISTS {0}_other PARTITION OF {0} DEFAULT", self.name));
        }
        made.extend(self.indexes.iter().map(|columns| {
            let name = format!("{}_by_{}", self.name, columns.join("_"));
            format!("CREATE INDEX IF NOT EXISTS {name} ON {} ({})", self.name, columns.join(", "))
        }));
        made
    }

    /// PostgreSQL's part for a month, made before the month begins. None: it is not kept in months, or
    /// there is no such month.
    pub fn month(&self, year: i16, month: i8) -> Option<String> {
        self.months?;
        let first = Date::new(year, month, 1).ok()?;
        let next = first.last_of_month().tomorrow().ok()?;
        let ms = |day: Date| Offset::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok().map(|t| t.as_millisecond());
        Some(format!(
            "CREATE TABLE IF NOT EXISTS {0}_{year:04}_{month:02} PARTITION OF {0} FOR VALUES FROM ({1}) TO ({2})",
            self.name,
            ms(first)?,
            ms(next)?
        ))
    }

    /// Takes a subject's rows out: tenant, then subject. None: they stay when the subject asks for erasure,
    /// or it has none.
    pub fn erase_subject(&self, dialect: Dialect) -> Option<String> {
        let goes = self.about == About::Subjects && self.kind.leaves_on_erasure();
        let place = |n| match dialect {
            Dialect::Sqlite => "?".to_owned(),
            Dialect::Postgres => format!("${n}"),
        };
        goes.then(|| format!("DELETE FROM {} WHERE tenant = {} AND subject = {}", self.name, place(1), place(2)))
    }

    /// Columns that go to the subject with what is held of them.
    pub fn exported(&self) -> impl Iterator<Item = &'static Column> {
        self.columns.iter().filter(|c| c.export)
    }
}

pub fn table(name: &str) -> Option<&'static Table> {
    TABLES.iter().find(|t| t.name == name)
}

/// Of one database, in the order in which they are made.
pub fn tables(database: Database) -> impl Iterator<Item = &'static Table> {
    TABLES.iter().filter(move |t| t.database == database)
}

/// A column as a live database reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    pub table: String,
    pub column: String,
    /// `pragma_table_info.type`, or `information_schema.columns.data_type`.
    pub ty: String,
}

/// Where a live database is not as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    UndeclaredTable(String),
    Undeclared { table: String, column: String },
    Missing { table: &'static str, column: &'static str },
    OtherType { table: &'static str, column: &'static str, ty: String },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UndeclaredTable(table) => {
                write!(f, "table {table} is stored and not declared: declare it in the schema, or drop it")
            }
            Self::Undeclared { table, column } => {
                write!(f, "column {table}.{column} is stored and not declared: declare it in the schema, or drop it")
            }
            Self::Missing { table, column } => write!(f, "column {table}.{column} is missing: run the migrations"),
            Self::OtherType { table, column, ty } => {
                write!(f, "column {table}.{column} is stored as {ty}, not as declared: run the migrations")
            }
        }
    }
}

/// Compares a live database with what is declared; empty: they agree. Tables that SQLite keeps for itself
/// do not count, and a month of a table is that table.
pub fn compare(database: Database, dialect: Dialect, live: &[Live]) -> Vec<Difference> {
    let mut found = vec![];
    let named = |name: &str| tables(database).find(|t| t.name == name || is_month_of(name, t));
    let mut strangers: Vec<&str> = live.iter().map(|l| l.table.as_str()).filter(|t| named(t).is_none()).collect();
    strangers.sort_unstable();
    strangers.dedup();
    let ours = strangers.into_iter().filter(|t| !(dialect == Dialect::Sqlite && t.starts_with("sqlite_")));
    found.extend(ours.map(|t| Difference::UndeclaredTable(t.into())));
    for Live { table, column, ty } in live {
        let Some(declared) = named(table) else { continue };
        match declared.column(column) {
            None => found.push(Difference::Undeclared { table: table.clone(), column: column.clone() }),
            Some(c) if !c.ty.sql(dialect).eq_ignore_ascii_case(ty) => {
                found.push(Difference::OtherType { table: declared.name, column: c.name, ty: ty.clone() });
            }
            Some(_) => {}
        }
    }
    for declared in tables(database) {
        for column in declared.columns {
            if !live.iter().any(|l| l.table == declared.name && l.column == column.name) {
                found.push(Difference::Missing { table: declared.name, column: column.name });
            }
        }
    }
    found
}

fn is_month_of(name: &str, table: &Table) -> bool {
    let rest = name.strip_prefix(table.name).and_then(|r| r.strip_prefix('_'));
    let month = |r: &str| {
        r.len() == 7 && r.bytes().enumerate().all(|(i, b)| if i == 4 { b == b'_' } else { b.is_ascii_digit() })
    };
    table.months.is_some() && rest.is_some_and(|r| r == "other" || month(r))
}

#[cfg(test)]
mod tests;
