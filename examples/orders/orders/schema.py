"""The database's tables, as the list of steps that lead to them.

A step that has been released is never changed: a new one is added at the end. Money is text, since a
float loses cents; times are ISO text in UTC with microseconds, which sorts as it should.
"""

from __future__ import annotations

TABLES = """
CREATE TABLE customer (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL
);
CREATE TABLE product (
    code TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    price TEXT NOT NULL,
    stock INTEGER NOT NULL CHECK (stock >= 0)
);
CREATE TABLE placed_order (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    customer INTEGER NOT NULL REFERENCES customer,
    status TEXT NOT NULL,
    urgent INTEGER NOT NULL,
    placed TEXT NOT NULL,
    note TEXT NOT NULL
);
CREATE INDEX placed_order_by_time ON placed_order (placed);
CREATE INDEX placed_order_by_status ON placed_order (status, number);
CREATE TABLE line (
    placed_order INTEGER NOT NULL REFERENCES placed_order,
    position INTEGER NOT NULL,
    product TEXT NOT NULL REFERENCES product,
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    price TEXT NOT NULL,
    PRIMARY KEY (placed_order, position)
) WITHOUT ROWID;
CREATE TABLE attachment (
    id TEXT PRIMARY KEY,
    placed_order INTEGER NOT NULL REFERENCES placed_order,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    added TEXT NOT NULL
);
CREATE INDEX attachment_by_order ON attachment (placed_order);
"""

SAMPLES = """
INSERT INTO customer (number, name) VALUES
    (1, 'Ada Lovelace'),
    (2, 'Grace Hopper'),
    (3, 'Müller & Söhne GmbH');
INSERT INTO product (code, name, price, stock) VALUES
    ('BOLT-M8', 'Bolt M8, 100 pieces', '12.40', 400),
    ('GEAR-24', 'Gear wheel, 24 teeth', '39.95', 6000),
    ('LAMP-E27', 'Lamp E27, 806 lm', '4.20', 500),
    ('LABEL-A6', 'Labels A6, 50 sheets', '5.80', 100000),
    ('SAW-300', 'Hand saw 300 mm', '24.90', 12),
    ('TAPE-50', 'Tape, 50 m', '3.15', 900);
"""

MIGRATIONS: tuple[str, ...] = (TABLES, SAMPLES)
"""What makes version n + 1 of the database out of version n."""
