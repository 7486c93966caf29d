-- The lender's own numbers and rows. Identifiers, tokens and records are ciphertexts.

CREATE TABLE book (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    lender TEXT NOT NULL,
    institution_kind INTEGER NOT NULL,
    -- The newest time that the book speaks of; what is published is effective as of it. Seconds.
    as_of INTEGER NOT NULL DEFAULT 0,
    -- Everything up to this time is in the book. NULL: nothing is claimed. Seconds.
    complete_as_of INTEGER,
    -- As-of of the last tape. Seconds.
    tape_as_of INTEGER,
    -- The number of the last change; each changed borrower carries the number of its own.
    change INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE borrowers (
    borrower_id INTEGER PRIMARY KEY,
    -- HMAC of the identifier under a key derived from book.key.
    lookup BLOB NOT NULL UNIQUE,
    -- The identifier, sealed.
    identifier BLOB NOT NULL,
    subject_kind INTEGER NOT NULL,
    -- The last change of what is to be published about the borrower.
    change INTEGER NOT NULL DEFAULT 0,
    -- The change that the newest sealed (or accepted) batch covers.
    sealed_change INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX borrowers_pending ON borrowers (change) WHERE change > sealed_change;

-- One random reference for each application of each borrower, the same in everything published.
CREATE TABLE applications (
    borrower_id INTEGER NOT NULL REFERENCES borrowers (borrower_id),
    application_key TEXT NOT NULL,
    reference BLOB NOT NULL UNIQUE,
    PRIMARY KEY (borrower_id, application_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE loans (
    borrower_id INTEGER NOT NULL REFERENCES borrowers (borrower_id),
    loan_id TEXT NOT NULL,
    status TEXT NOT NULL,
    application_key TEXT NOT NULL,
    -- The whole row as canonical JSON (counterfoil_node.loans).
    body TEXT NOT NULL,
    PRIMARY KEY (borrower_id, loan_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX loans_by_number ON loans (loan_id, status);

-- What the desk reported, kept so that a tape with an earlier as-of can be laid beneath it.
CREATE TABLE loan_events (
    event_id INTEGER PRIMARY KEY,
    borrower_id INTEGER NOT NULL REFERENCES borrowers (borrower_id),
    loan_id TEXT NOT NULL,
    event_time INTEGER NOT NULL,
    body TEXT NOT NULL
) STRICT;
CREATE INDEX loan_events_by_loan ON loan_events (borrower_id, loan_id, event_time);
CREATE INDEX loan_events_by_time ON loan_events (event_time);

CREATE TABLE reports (
    request_id TEXT PRIMARY KEY,
    -- HMAC of the request; a plain hash of it would be a hash of identifiers.
    content_mac BLOB NOT NULL,
    event_count INTEGER NOT NULL,
    received_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tapes (
    tape_id INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    kind TEXT NOT NULL,
    as_of INTEGER NOT NULL,
    imported_us INTEGER NOT NULL,
    row_count INTEGER NOT NULL,
    bad_row_count INTEGER NOT NULL,
    changed_borrower_count INTEGER NOT NULL,
    closed_loan_count INTEGER NOT NULL,
    UNIQUE (digest, kind, as_of)
) STRICT;

-- Identifier to token, sealed: each borrower is evaluated once an epoch.
CREATE TABLE tokens (
    lookup BLOB NOT NULL,
    token_epoch INTEGER NOT NULL,
    token BLOB NOT NULL,
    PRIMARY KEY (lookup, token_epoch)
) STRICT, WITHOUT ROWID;

-- Where the gateway is known to stand with this lender.
CREATE TABLE publishing (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    sequence INTEGER NOT NULL,
    statement_hash BLOB NOT NULL,
    -- The signed receipt of that statement; NULL before the first.
    receipt BLOB,
    -- The as-of of the last accepted batch; NULL when it is not known (a restored book).
    as_of INTEGER,
    complete_as_of INTEGER
) STRICT;
INSERT INTO publishing (only, sequence, statement_hash) VALUES (1, 0, x'');

-- Every batch sealed by this book: the outbox, and the openings of what was accepted.
CREATE TABLE batches (
    sequence INTEGER PRIMARY KEY,
    statement_hash BLOB NOT NULL,
    -- The exact signed statement, in its envelope.
    statement BLOB NOT NULL,
    record_count INTEGER NOT NULL,
    as_of INTEGER NOT NULL,
    complete_as_of INTEGER,
    -- Salts and records, sealed.
    openings BLOB NOT NULL,
    sealed_us INTEGER NOT NULL,
    -- The signed receipt; NULL while the batch waits in the outbox.
    receipt BLOB,
    accepted_us INTEGER
) STRICT;

-- Whose record, at which change, is in a batch that waits.
CREATE TABLE batch_subjects (
    sequence INTEGER NOT NULL REFERENCES batches (sequence),
    borrower_id INTEGER NOT NULL REFERENCES borrowers (borrower_id),
    change INTEGER NOT NULL,
    PRIMARY KEY (sequence, borrower_id)
) STRICT, WITHOUT ROWID;

-- What was asked and answered, as evidence.
CREATE TABLE inquiries (
    inquiry_hash BLOB PRIMARY KEY,
    -- The signed inquiry, sealed: it holds a token.
    inquiry BLOB NOT NULL,
    -- Opens the consent commitment together with the consent document, which the lender keeps.
    consent_salt BLOB NOT NULL,
    application_key TEXT NOT NULL,
    create_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE answers (
    answer_id INTEGER PRIMARY KEY,
    -- Empty for an UNAVAILABLE without an inquiry.
    inquiry_hash BLOB NOT NULL,
    application_key TEXT NOT NULL,
    -- The signed answer in its envelope.
    answer BLOB NOT NULL,
    received_us INTEGER NOT NULL
) STRICT;
CREATE INDEX answers_by_inquiry ON answers (inquiry_hash);

-- The evaluator's own memory: requests seen, elements evaluated.
CREATE TABLE evaluation_nonces (
    lender TEXT NOT NULL,
    nonce BLOB NOT NULL,
    expire_us INTEGER NOT NULL,
    PRIMARY KEY (lender, nonce)
) STRICT, WITHOUT ROWID;
CREATE INDEX evaluation_nonces_by_time ON evaluation_nonces (expire_us);

CREATE TABLE evaluation_usage (
    -- Days since 1970-01-01, UTC.
    day INTEGER NOT NULL,
    lender TEXT NOT NULL,
    element_count INTEGER NOT NULL,
    PRIMARY KEY (day, lender)
) STRICT, WITHOUT ROWID;
