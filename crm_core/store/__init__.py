"""The store: tables, the page transaction of the pull engine, read repositories, migrations."""
