-- Where tables that belong to no single service live.
CREATE SCHEMA IF NOT EXISTS platform;
