-- Since when schedulers hold nights: one row, of the first start of the first of them. What fell due since was missed if
-- nobody made it, also when no night was ever held.
CREATE TABLE nights_held (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    since    TIMESTAMPTZ NOT NULL
);
