CREATE TABLE IF NOT EXISTS invoices (
    account_id text, id text, status text, currency text,
    amount_due numeric, amount_paid numeric, amount_remaining numeric, created bigint,
    attempt_count integer, attempted boolean, auto_advance boolean,
    created_by text, description text, invoice_origin text, invoice_pdf text,
    PRIMARY KEY (account_id, id)
)
