-- The spine: who the gateway is, its members, the entries of its log, batches, inquiries.
-- Times ending in _us are microseconds since 1970-01-01T00:00:00Z, others are seconds.

CREATE TABLE network (
    only       INTEGER PRIMARY KEY CHECK (only = 1),
    network    TEXT NOT NULL,
    gateway    TEXT NOT NULL,
    answer_key BLOB NOT NULL CHECK (length(answer_key) = 32),
    created_us INTEGER NOT NULL
) STRICT;

-- Every accepted statement, contiguous from 0, as its exact envelope.
CREATE TABLE entries (
    entry_index INTEGER PRIMARY KEY,
    kind        TEXT NOT NULL CHECK (kind IN ('batch', 'enrolment', 'rotation', 'policy')),
    envelope    BLOB NOT NULL,
    received_us INTEGER NOT NULL
) STRICT;

CREATE TABLE members (
    lender_id        INTEGER PRIMARY KEY,
    lender           TEXT NOT NULL UNIQUE,
    institution_kind INTEGER NOT NULL,
    state            INTEGER NOT NULL,
    admitted_us      INTEGER NOT NULL,
    suspended_us     INTEGER
) STRICT;

CREATE TABLE member_roles (
    lender_id INTEGER NOT NULL REFERENCES members,
    role      INTEGER NOT NULL,
    PRIMARY KEY (lender_id, role)
) STRICT, WITHOUT ROWID;

CREATE TABLE member_changes (
    lender_id  INTEGER NOT NULL REFERENCES members,
    state      INTEGER NOT NULL,
    reason     TEXT NOT NULL,
    changed_us INTEGER NOT NULL
) STRICT;

-- Only the hash of a one-time token is kept. Once used it names the statement and certificate.
CREATE TABLE enrolment_tokens (
    lender_id      INTEGER PRIMARY KEY REFERENCES members,
    token_hash     BLOB NOT NULL UNIQUE CHECK (length(token_hash) = 32),
    expire_us      INTEGER NOT NULL,
    statement_hash BLOB,
    serial         TEXT
) STRICT;

-- A key is valid for a lender from an entry on, never from a claimed time.
CREATE TABLE record_keys (
    record_key BLOB PRIMARY KEY CHECK (length(record_key) = 32),
    lender_id  INTEGER NOT NULL REFERENCES members,
    valid_from INTEGER NOT NULL REFERENCES entries (entry_index)
) STRICT, WITHOUT ROWID;

CREATE INDEX record_keys_by_lender ON record_keys (lender_id, valid_from);

CREATE TABLE certificates (
    serial    TEXT PRIMARY KEY,
    lender_id INTEGER NOT NULL REFERENCES members,
    pem       TEXT NOT NULL,
    issued_us INTEGER NOT NULL,
    expire_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX certificates_by_lender ON certificates (lender_id, expire_us);

CREATE TABLE token_epochs (
    epoch        INTEGER PRIMARY KEY,
    generation   INTEGER NOT NULL,
    evaluator_id INTEGER NOT NULL REFERENCES members (lender_id),
    public_key   BLOB NOT NULL CHECK (length(public_key) = 32),
    opened_at    INTEGER NOT NULL REFERENCES entries (entry_index)
) STRICT;

CREATE TABLE policies (
    policy_hash BLOB PRIMARY KEY CHECK (length(policy_hash) = 32),
    version     TEXT NOT NULL,
    entry_index INTEGER NOT NULL REFERENCES entries
) STRICT, WITHOUT ROWID;

CREATE TABLE batches (
    lender_id      INTEGER NOT NULL REFERENCES members,
    sequence       INTEGER NOT NULL,
    entry_index    INTEGER NOT NULL UNIQUE REFERENCES entries,
    statement_hash BLOB NOT NULL,
    record_count   INTEGER NOT NULL,
    as_of          INTEGER NOT NULL,
    complete_as_of INTEGER,
    received_us    INTEGER NOT NULL,
    receipt        BLOB NOT NULL,
    PRIMARY KEY (lender_id, sequence)
) STRICT, WITHOUT ROWID;

-- Where each lender stands after its last accepted batch.
CREATE TABLE heads (
    lender_id      INTEGER PRIMARY KEY REFERENCES members,
    sequence       INTEGER NOT NULL,
    statement_hash BLOB NOT NULL,
    as_of          INTEGER NOT NULL,
    complete_as_of INTEGER
) STRICT;

-- The openings of a batch, kept in one piece: they are written once and read only for proofs.
CREATE TABLE batch_openings (
    lender_id INTEGER NOT NULL REFERENCES members,
    sequence  INTEGER NOT NULL,
    salts     BLOB NOT NULL,
    records   BLOB NOT NULL,
    PRIMARY KEY (lender_id, sequence)
) STRICT;

-- The current view: one record for each borrower and lender, clustered by token.
CREATE TABLE exposures (
    token       BLOB NOT NULL CHECK (length(token) = 32),
    lender_id   INTEGER NOT NULL REFERENCES members,
    sequence    INTEGER NOT NULL,
    leaf_index  INTEGER NOT NULL,
    leaf        BLOB NOT NULL,
    effective   INTEGER NOT NULL,
    received_us INTEGER NOT NULL,
    record      BLOB NOT NULL,
    PRIMARY KEY (token, lender_id)
) STRICT, WITHOUT ROWID;

-- Validly signed statements under numbers that other bytes have taken: evidence.
CREATE TABLE conflicts (
    lender_id      INTEGER NOT NULL REFERENCES members,
    sequence       INTEGER NOT NULL,
    statement_hash BLOB NOT NULL,
    envelope       BLOB NOT NULL,
    received_us    INTEGER NOT NULL,
    PRIMARY KEY (lender_id, sequence, statement_hash)
) STRICT;

-- Inquiries with the answers given, and the opening of each answer's records commitment.
CREATE TABLE inquiries (
    inquiry_hash          BLOB NOT NULL UNIQUE,
    lender_id             INTEGER NOT NULL REFERENCES members,
    nonce                 BLOB NOT NULL,
    token                 BLOB NOT NULL CHECK (length(token) = 32),
    application_reference BLOB NOT NULL,
    credit_seeking        INTEGER NOT NULL CHECK (credit_seeking IN (0, 1)),
    asked_us              INTEGER NOT NULL,
    received_us           INTEGER NOT NULL,
    interval_number       INTEGER NOT NULL,
    policy_hash           BLOB NOT NULL,
    commitment_salt       BLOB NOT NULL,
    records_used          BLOB NOT NULL,
    envelope              BLOB NOT NULL,
    answer                BLOB NOT NULL,
    UNIQUE (lender_id, nonce)
) STRICT;

CREATE INDEX inquiries_by_token ON inquiries (token, received_us);
CREATE INDEX inquiries_by_interval ON inquiries (interval_number);
