//! The declaration itself. Whoever stores something new declares it here first. It holds no values.

use crate::retention::Kind;
use crate::schema::{About, Category, Column, Database, Table, Type};

use Category::{Consent, Content, Metadata, Register};

const fn column(name: &'static str, ty: Type, category: Category, purpose: &'static str) -> Column {
    Column { name, ty, null: false, default: None, category, export: false, purpose }
}

const fn int(name: &'static str, category: Category, purpose: &'static str) -> Column {
    column(name, Type::Int, category, purpose)
}

const fn text(name: &'static str, category: Category, purpose: &'static str) -> Column {
    column(name, Type::Text, category, purpose)
}

const fn bytes(name: &'static str, category: Category, purpose: &'static str) -> Column {
    column(name, Type::Bytes, category, purpose)
}

impl Column {
    const fn or_null(mut self) -> Self {
        self.null = true;
        self
    }

    const fn or(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    const fn exported(mut self) -> Self {
        self.export = true;
        self
    }
}

const fn tenant(category: Category) -> Column {
    text("tenant", category, "whose it is")
}

const fn subject(category: Category) -> Column {
    bytes("subject", category, "finds what is held of somebody, by pseudonym")
}

pub const TABLES: &[Table] = &[
    CALLS,
    LINES,
    RECORDINGS,
    CONSENT_EVENTS,
    PRE_GRANTS_USED,
    TRANSFERS,
    ERASURES,
    ERASURE_STEPS,
    RECEIPTS,
    HOLDS,
    CLAIMS,
    APPROVALS,
    MIGRATIONS,
    KEYS,
];

const CALLS: Table = Table {
    name: "calls",
    database: Database::Store,
    kind: Kind::Metadata,
    about: About::Subjects,
    purpose: "to run the service and to see how it works; no word of a call",
    columns: &[
        int("id", Metadata, "names the call").exported(),
        tenant(Metadata).or("'default'"),
        subject(Metadata).or_null(),
        text("agent", Metadata, "which agent answered").exported(),
        text("direction", Metadata, "who called whom").or("'inbound'").exported(),
        text("trunk", Metadata, "by which line it came").or_null(),
        int("started_unix_ms", Metadata, "when it began").exported(),
        int("ended_unix_ms", Metadata, "when it ended").or_null().exported(),
        text("codec", Metadata, "explains how it sounded"),
        text("security", Metadata, "how its media was protected").or("'none'").exported(),
        text("state", Metadata, "why it ended").exported(),
        text("consent", Metadata, "how consent stood at its end").exported(),
        text("media", Metadata, "what the network did to it: counts and times"),
        text("turns", Metadata, "how long each answer took: times only"),
        text("answered_by", Metadata, "whether a person or a machine answered a call of ours").or("'null'"),
        text("outcomes", Metadata, "which forms were completed, not what is in them").or("'[]'").exported(),
    ],
    key: &["id", "started_unix_ms"],
    indexes: &[&["started_unix_ms"], &["subject"]],
    months: Some("started_unix_ms"),
};

const LINES: Table = Table {
    name: "lines",
    database: Database::Store,
    kind: Kind::Content,
    about: About::Subjects,
    purpose: "the transcript that was agreed to",
    columns: &[
        int("call", Metadata, "the call it belongs to").exported(),
        tenant(Metadata),
        subject(Metadata),
        text("scope", Consent, "the consent that it rests on"),
        text("kind", Metadata, "line, sound or note"),
        int("seq", Metadata, "its place; a row that is moved does not open").exported(),
        bytes("event", Consent, "the event that granted it"),
        int("made_unix_ms", Metadata, "when its term begins").exported(),
        int("at_ms", Metadata, "when in the call").exported(),
        int("lost", Metadata, "how many lines could not be kept here").or("0").exported(),
        text("key", Category::Key, "which key opens it").or_null(),
        bytes("nonce", Category::Key, "needed to open it; says nothing").or_null(),
        bytes("body", Content, "who spoke, and what was said").or_null().exported(),
    ],
    key: &["call", "scope", "kind", "seq", "made_unix_ms"],
    indexes: &[&["subject"], &["made_unix_ms"]],
    months: Some("made_unix_ms"),
};

const RECORDINGS: Table = Table {
    name: "recordings",
    database: Database::Store,
    kind: Kind::Recording,
    about: About::Subjects,
    purpose: "the sound that was agreed to, where recording is on",
    columns: &[
        int("call", Metadata, "the call it belongs to").exported(),
        tenant(Metadata),
        subject(Metadata),
        text("leg", Metadata, "caller or agent").exported(),
        text("scope", Consent, "the consent that it rests on"),
        bytes("event", Consent, "the event that granted it"),
        int("made_unix_ms", Metadata, "when its term begins").exported(),
        int("duration_ms", Metadata, "how long it is").exported(),
        text("codec", Metadata, "how to play it").exported(),
        text("file", Metadata, "random name of the sealed file"),
        int("bytes", Metadata, "how big the file is"),
        bytes("file_hash", Metadata, "that the sealed file is whole"),
        text("key", Category::Key, "which key opens it"),
    ],
    key: &["call", "leg"],
    indexes: &[&["subject"], &["made_unix_ms"]],
    months: None,
};

const CONSENT_EVENTS: Table = Table {
    name: "consent_events",
    database: Database::Store,
    kind: Kind::Consent,
    about: About::Subjects,
    purpose: "proof of what was asked and answered",
    columns: &[
        bytes("id", Consent, "hash of all the rest").exported(),
        tenant(Consent),
        int("call", Consent, "the call it was in").exported(),
        subject(Consent),
        int("seq", Consent, "its place in the call").exported(),
        text("scopes", Consent, "what it is about").exported(),
        text("what", Consent, "asked, granted, refused, withdrawn").exported(),
        text("how", Consent, "by voice, key, click, text, silence").or_null().exported(),
        text("policy", Consent, "version of the policy").exported(),
        bytes("text_hash", Consent, "which words were told and asked").exported(),
        text("language", Consent, "in which language").exported(),
        bytes("prompt_hash", Consent, "which question was put").or_null().exported(),
        text("channel", Consent, "phone, web, text or api").exported(),
        text("evidence", Consent, "statement of the tenant's system, by hash").or_null().exported(),
        int("at_unix_ms", Consent, "when").exported(),
        int("use_ended_unix_ms", Consent, "when its term begins; it is storage only from then on").or_null(),
    ],
    key: &["id"],
    indexes: &[&["call"], &["subject"]],
    months: None,
};

const PRE_GRANTS_USED: Table = Table {
    name: "pre_grants_used",
    database: Database::Store,
    kind: Kind::Consent,
    about: About::Nobody,
    purpose: "that a signed statement grants once only",
    columns: &[
        tenant(Consent),
        bytes("statement", Consent, "hash of the statement"),
        int("until_unix_ms", Consent, "when it expires; its own term begins"),
    ],
    key: &["tenant", "statement"],
    indexes: &[],
    months: None,
};

const TRANSFERS: Table = Table {
    name: "transfers",
    database: Database::Store,
    kind: Kind::Transfer,
    about: About::Subjects,
    purpose: "to know who received data, and to reach them when it must be erased",
    columns: &[
        int("id", Metadata, "names the sending").exported(),
        tenant(Metadata),
        int("call", Metadata, "the call it was in").or_null().exported(),
        subject(Metadata),
        text("destination", Metadata, "who received it").exported(),
        text("kind", Metadata, "what the recipient is").exported(),
        text("country", Metadata, "where the recipient is").exported(),
        int("abroad", Metadata, "1: another country than the residency").exported(),
        text("sort", Metadata, "what sort of data").exported(),
        text("purpose", Metadata, "what for").exported(),
        int("bytes", Metadata, "how much").exported(),
        text("scopes", Consent, "the scopes that it rests on").exported(),
        text("events", Consent, "the events that granted them").exported(),
        int("approval", Register, "of two people, where it was handed over").or_null().exported(),
        int("erasure", Register, "the erasure that ordered it").or_null().exported(),
        int("at_unix_ms", Metadata, "when").exported(),
        text("ended", Metadata, "sent or failed; none: unknown").or_null().exported(),
        int("ended_unix_ms", Metadata, "when it ended").or_null().exported(),
    ],
    key: &["id", "at_unix_ms"],
    indexes: &[&["subject"], &["at_unix_ms"]],
    months: Some("at_unix_ms"),
};

const ERASURES: Table = Table {
    name: "erasures",
    database: Database::Store,
    kind: Kind::Register,
    about: About::Subjects,
    purpose: "to finish every erasure that was asked for, and to prove it",
    columns: &[
        int("id", Register, "names the erasure").exported(),
        tenant(Register),
        subject(Register),
        int("asked_unix_ms", Register, "when its term begins").exported(),
        int("due_unix_ms", Register, "by when it must be done; none: a hold stops it").or_null().exported(),
        text("stage", Register, "how far it is").exported(),
        text("job", Register, "its state: names and numbers"),
        text("proof", Register, "the signed proof").or_null().exported(),
        int("finished_unix_ms", Register, "when its own term begins").or_null().exported(),
    ],
    key: &["id"],
    indexes: &[&["subject"], &["due_unix_ms"]],
    months: None,
};

const ERASURE_STEPS: Table = Table {
    name: "erasure_steps",
    database: Database::Store,
    kind: Kind::Register,
    about: About::Nobody,
    purpose: "when each stage of an erasure was reached",
    columns: &[
        int("erasure", Register, "which erasure"),
        text("stage", Register, "which stage"),
        int("at_unix_ms", Register, "when"),
    ],
    key: &["erasure", "stage"],
    indexes: &[],
    months: None,
};

const RECEIPTS: Table = Table {
    name: "receipts",
    database: Database::Store,
    kind: Kind::Register,
    about: About::Nobody,
    purpose: "that connected systems erased too",
    columns: &[
        int("erasure", Register, "which erasure"),
        text("destination", Register, "whose receipt"),
        text("hash", Register, "SHA-256 of the receipt, in hex"),
        text("taken_by", Register, "the officer, where it came by hand").or_null(),
        int("at_unix_ms", Register, "when"),
        bytes("document", Register, "the receipt as it came, 4 KiB at most; the order it answers names nobody")
            .or_null(),
    ],
    key: &["erasure", "destination"],
    indexes: &[],
    months: None,
};

const HOLDS: Table = Table {
    name: "holds",
    database: Database::Store,
    kind: Kind::Register,
    about: About::Subjects,
    purpose: "what the law wants kept for now, and who answers for that",
    columns: &[
        int("id", Register, "names the hold"),
        tenant(Register),
        text("covers", Register, "all, subject or call"),
        subject(Register).or_null(),
        int("call", Register, "the call it keeps").or_null(),
        text("owner", Register, "who answers for it"),
        text("reason", Register, "why, in the officer's words"),
        int("from_unix_ms", Register, "since when"),
        int("until_unix_ms", Register, "when it ends"),
        int("released_unix_ms", Register, "when it was released").or_null(),
        text("released_by", Register, "by whom").or_null(),
        text("release_reason", Register, "why").or_null(),
    ],
    key: &["id"],
    indexes: &[&["subject"], &["until_unix_ms"]],
    months: None,
};

const CLAIMS: Table = Table {
    name: "claims",
    database: Database::Store,
    kind: Kind::Register,
    about: About::Subjects,
    purpose: "to answer every claim in time",
    columns: &[
        int("id", Register, "names the claim").exported(),
        tenant(Register),
        subject(Register),
        text("what", Register, "what is claimed").exported(),
        int("call", Register, "the call it is about").or_null().exported(),
        int("got_unix_ms", Register, "when its clock began").exported(),
        int("until_unix_ms", Register, "by when it must be answered").exported(),
        int("near_unix_ms", Register, "when somebody is reminded"),
        text("answer", Register, "granted, partly, refused, taken back").or_null().exported(),
        int("answered_unix_ms", Register, "when its own term begins").or_null().exported(),
        text("events", Register, "who did what with it when, and why"),
    ],
    key: &["id"],
    indexes: &[&["subject"], &["until_unix_ms"]],
    months: None,
};

const APPROVALS: Table = Table {
    name: "approvals",
    database: Database::Store,
    kind: Kind::Register,
    about: About::Subjects,
    purpose: "that two people agreed before anything was handed over",
    columns: &[
        int("id", Register, "names the approval"),
        tenant(Register),
        subject(Register),
        text("what", Register, "export or disclosure"),
        text("destination", Register, "to whom"),
        text("asked_by", Register, "who asked"),
        text("asked_role", Register, "as what"),
        int("asked_unix_ms", Register, "when"),
        text("why", Register, "why, in their words"),
        text("decided_by", Register, "who decided").or_null(),
        text("decided_role", Register, "as what").or_null(),
        int("decided_unix_ms", Register, "when").or_null(),
        int("approved", Register, "1: yes, 0: no").or_null(),
        int("expires_unix_ms", Register, "when it is void"),
        int("used_unix_ms", Register, "when it was used up").or_null(),
    ],
    key: &["id"],
    indexes: &[&["subject"]],
    months: None,
};

const MIGRATIONS: Table = Table {
    name: "migrations",
    database: Database::Store,
    kind: Kind::Program,
    about: About::Nobody,
    purpose: "which form the database has",
    columns: &[
        int("version", Metadata, "number of the migration"),
        text("name", Metadata, "what it did"),
        bytes("hash", Metadata, "SHA-256 of its statements"),
        int("at_unix_ms", Metadata, "when"),
    ],
    key: &["version"],
    indexes: &[],
    months: None,
};

const KEYS: Table = Table {
    name: "keys",
    database: Database::Keystore,
    kind: Kind::Key,
    about: About::Subjects,
    purpose: "to open what is sealed, and to make it unreadable at once",
    columns: &[
        text("id", Category::Key, "names the key"),
        tenant(Category::Key),
        text("what", Category::Key, "tenant, index, signing, subject or segment"),
        int("generation", Category::Key, "of a tenant's key").or_null(),
        subject(Category::Key).or_null(),
        int("call", Category::Key, "of a segment's key").or_null(),
        text("scope", Category::Key, "of a segment's key").or_null(),
        text("parent", Category::Key, "the key that wraps it"),
        int("version", Category::Key, "how often it was wrapped"),
        int("made_unix_ms", Category::Key, "when it was made"),
        bytes("nonce", Category::Key, "needed to unwrap it"),
        bytes("body", Category::Key, "the key, wrapped"),
    ],
    key: &["id"],
    indexes: &[&["tenant", "subject"], &["parent"]],
    months: None,
};
