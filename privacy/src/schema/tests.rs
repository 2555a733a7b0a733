//! The declaration is whole and in itself right, and the SQL and the record come out of it.

use std::collections::BTreeSet;

use super::*;
use crate::egress::{Destination, DestinationKind};
use crate::retention::Terms;
use crate::{Country, Scopes};

const DIALECTS: [Dialect; 2] = [Dialect::Sqlite, Dialect::Postgres];

#[test]
fn every_table_and_column_says_what_it_is_for() {
    let names: BTreeSet<&str> = TABLES.iter().map(|t| t.name).collect();
    assert_eq!(names.len(), TABLES.len());
    for table in TABLES {
        assert!(!table.purpose.is_empty());
        let columns: BTreeSet<&str> = table.columns.iter().map(|c| c.name).collect();
        assert_eq!(columns.len(), table.columns.len(), "{}: a column twice", table.name);
        for column in table.columns {
            let named = column.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            assert!(named && !column.purpose.is_empty(), "{}.{}", table.name, column.name);
        }
        let used = table.key.iter().chain(table.indexes.iter().copied().flatten()).chain(&table.months);
        for name in used {
            assert!(columns.contains(name), "{}: no column {name}", table.name);
        }
        assert!(
            table.key.iter().all(|k| table.column(k).is_some_and(|c| !c.null)),
            "{}: a key may be null",
            table.name
        );
    }
}

#[test]
fn only_sealed_columns_hold_content_and_only_content_tables_have_them() {
    for table in TABLES {
        for column in table.columns {
            if column.category == Category::Content {
                assert!(column.is_sealed() && column.ty == Type::Bytes, "{}.{}", table.name, column.name);
                assert_eq!((table.kind, table.database), (Kind::Content, Database::Store), "{}", table.name);
            }
        }
        let sealed = table.columns.iter().any(Column::is_sealed);
        assert_eq!(sealed, table.kind == Kind::Content, "{}", table.name);
        if sealed {
            for name in ["call", "seq", "scope", "event", "kind", "key", "nonce"] {
                assert!(table.column(name).is_some(), "{}: a sealed row is bound to its {name}", table.name);
            }
        }
    }
}

#[test]
fn what_an_erasure_must_find_has_a_subject() {
    for table in TABLES {
        let has = table.column("subject").is_some() && table.column("tenant").is_some();
        assert_eq!(has, table.about == About::Subjects, "{}", table.name);
        if table.kind.leaves_on_erasure() {
            assert_eq!(table.about, About::Subjects, "{}", table.name);
            assert!(table.indexes.iter().any(|i| i.contains(&"subject")), "{}", table.name);
        }
    }
    let erased: Vec<&str> =
        TABLES.iter().filter(|t| t.erase_subject(Dialect::Sqlite).is_some()).map(|t| t.name).collect();
    assert_eq!(erased, ["calls", "lines", "recordings", "keys"]);
    let lines = table("lines").expect("declared");
    assert_eq!(
        lines.erase_subject(Dialect::Sqlite).as_deref(),
        Some("DELETE FROM lines WHERE tenant = ? AND subject = ?")
    );
    assert_eq!(
        lines.erase_subject(Dialect::Postgres).as_deref(),
        Some("DELETE FROM lines WHERE tenant = $1 AND subject = $2")
    );
}

#[test]
fn keys_are_in_a_database_of_their_own_and_never_leave() {
    let keystore: Vec<&str> = tables(Database::Keystore).map(|t| t.name).collect();
    assert_eq!(keystore, ["keys"]);
    for table in TABLES {
        assert!(table.exported().all(|c| c.category != Category::Key), "{}", table.name);
    }
    let exported: Vec<&str> = TABLES.iter().filter(|t| t.exported().count() > 0).map(|t| t.name).collect();
    assert_eq!(exported, ["calls", "lines", "recordings", "consent_events", "transfers", "erasures", "claims"]);
}

#[test]
fn the_sql_is_as_each_database_wants_it() {
    let steps = table("erasure_steps").expect("declared");
    assert_eq!(
        steps.create(Dialect::Sqlite),
        ["CREATE TABLE IF NOT EXISTS erasure_steps (\n    erasure INTEGER NOT NULL,\n    stage TEXT NOT NULL,\n    \
          at_unix_ms INTEGER NOT NULL,\n    PRIMARY KEY (erasure, stage)\n) STRICT"]
    );
    assert_eq!(
        steps.create(Dialect::Postgres),
        ["CREATE TABLE IF NOT EXISTS erasure_steps (\n    erasure BIGINT NOT NULL,\n    stage TEXT NOT NULL,\n    \
          at_unix_ms BIGINT NOT NULL,\n    PRIMARY KEY (erasure, stage)\n)"]
    );
    let calls = table("calls").expect("declared").create(Dialect::Postgres);
    assert!(calls[0].ends_with(") PARTITION BY RANGE (started_unix_ms)"));
    assert_eq!(calls[1], "CREATE TABLE IF NOT EXISTS calls_other PARTITION OF calls DEFAULT");
    assert_eq!(calls[2], "CREATE INDEX IF NOT EXISTS calls_by_started_unix_ms ON calls (started_unix_ms)");
    assert!(calls[0].contains("subject BYTEA,\n"), "{}", calls[0]);
    assert!(calls[0].contains("direction TEXT NOT NULL DEFAULT 'inbound'"));
}

#[test]
fn a_table_kept_in_months_has_the_month_in_its_key() {
    // PostgreSQL: a primary key of a partitioned table holds the partition's column.
    for table in TABLES {
        if let Some(column) = table.months {
            assert!(table.key.contains(&column), "{}", table.name);
        }
    }
    let calls = table("calls").expect("declared");
    let month = |year, month| calls.month(year, month);
    assert_eq!(
        month(2026, 12).as_deref(),
        Some(
            "CREATE TABLE IF NOT EXISTS calls_2026_12 PARTITION OF calls FOR VALUES FROM (1796083200000) TO (1798761600000)"
        )
    );
    assert_eq!(month(2026, 13), None);
    assert_eq!(month(2026, 0), None);
    assert_eq!(table("holds").expect("declared").month(2026, 1), None);
}

fn live(dialect: Dialect) -> Vec<Live> {
    let column = |t: &Table, c: &Column| Live {
        table: t.name.into(),
        column: c.name.into(),
        ty: c.ty.sql(dialect).to_lowercase(),
    };
    tables(Database::Store).flat_map(|t| t.columns.iter().map(move |c| column(t, c))).collect()
}

#[test]
fn a_live_database_is_as_declared_or_the_difference_is_named() {
    for dialect in DIALECTS {
        assert_eq!(compare(Database::Store, dialect, &live(dialect)), []);
        let mut more = live(dialect);
        let add =
            |table: &str, column: &str, ty: &str| Live { table: table.into(), column: column.into(), ty: ty.into() };
        more.push(add("calls", "number", "text"));
        more.push(add("notes", "id", "text"));
        more.push(add("notes", "body", "text"));
        more.push(add("holds_2026_01", "id", "text"));
        more.push(add("calls_2026_1x", "id", "text"));
        let undeclared = |t: &str| Difference::UndeclaredTable(t.into());
        assert_eq!(
            compare(Database::Store, dialect, &more),
            [
                undeclared("calls_2026_1x"),
                undeclared("holds_2026_01"),
                undeclared("notes"),
                Difference::Undeclared { table: "calls".into(), column: "number".into() },
            ]
        );
        let mut fewer = live(dialect);
        let gone = fewer.remove(0);
        fewer[0].ty = "real".into();
        assert_eq!(
            compare(Database::Store, dialect, &fewer),
            [
                Difference::OtherType { table: "calls", column: "tenant", ty: "real".into() },
                Difference::Missing { table: "calls", column: "id" },
            ],
            "without {gone:?}"
        );
        let keys_in_the_store = compare(Database::Keystore, dialect, &live(dialect));
        assert!(keys_in_the_store.contains(&undeclared("lines")), "neither holds the other's");
    }
}

#[test]
fn months_and_what_sqlite_keeps_for_itself_are_no_difference() {
    let mut all = live(Dialect::Postgres);
    let months: Vec<Live> = ["calls_2026_03", "calls_other"]
        .iter()
        .flat_map(|part| all.iter().filter(|l| l.table == "calls").map(|l| Live { table: (*part).into(), ..l.clone() }))
        .collect();
    all.extend(months);
    assert_eq!(compare(Database::Store, Dialect::Postgres, &all), []);
    let mut all = live(Dialect::Sqlite);
    all.push(Live { table: "sqlite_sequence".into(), column: "name".into(), ty: String::new() });
    assert_eq!(compare(Database::Store, Dialect::Sqlite, &all), []);
}

#[test]
fn the_record_of_processing_has_a_row_for_each_table_and_its_term() {
    let record = record_of_processing(&Terms::default());
    assert_eq!(record.lines().count(), TABLES.len() + 2);
    let row = |name: &str| {
        let start = format!("| `{name}` ");
        record.lines().find(|l| l.starts_with(&start)).unwrap_or_else(|| panic!("no row of {name}")).to_owned()
    };
    assert!(row("lines").contains("| while the service is used, at most 90 days | content sealed under a key"));
    assert!(row("consent_events").contains("| 3 years after the end of use, storage only |"));
    assert!(row("recordings").contains("| sound in files, sealed under a key of the subject"));
    assert!(row("migrations").contains("| as long as the program | no content; names nobody |"));
    assert!(row("keys").contains("each key wrapped by the one above it"));
    for line in record.lines().chain(columns().lines()) {
        let cells = line.matches(" | ").count();
        assert!(cells == 5 || cells == 6 || line.starts_with("|---"), "{line}");
    }
    let count: usize = TABLES.iter().map(|t| t.columns.len()).sum();
    assert_eq!(columns().lines().count(), count + 2);
}

#[test]
fn recipients_are_listed_with_their_country() {
    let crm = Destination {
        name: "crm".into(),
        kind: DestinationKind::Connected,
        url: "https://crm.example".into(),
        country: Country::new("DE").expect("a country"),
        scopes: Scopes::new(),
        own: false,
        abroad: true,
    };
    let home = Country::new("KZ");
    let listed = destinations(&[crm], home);
    assert!(listed.ends_with("| `crm` | connected | DE | yes | what follows from its kind | yes |\n"), "{listed}");
}
