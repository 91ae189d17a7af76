-- Roles for a control plane on Neon (or any PostgreSQL). Run once, as the database's owner, on the DIRECT address:
--   psql "$OWNER_URL" -v owner_password="'…'" -v cp_password="'…'" -f roles.sql

-- Owns the schema and runs migrations.
CREATE ROLE headgate_owner LOGIN PASSWORD :owner_password;
GRANT CREATE, CONNECT ON DATABASE :"DBNAME" TO headgate_owner;
GRANT USAGE, CREATE ON SCHEMA public TO headgate_owner;

-- Runs the control plane between releases: reads and writes rows, changes no table.
CREATE ROLE headgate_cp LOGIN PASSWORD :cp_password;
GRANT CONNECT ON DATABASE :"DBNAME" TO headgate_cp;
GRANT USAGE ON SCHEMA public TO headgate_cp;
ALTER DEFAULT PRIVILEGES FOR ROLE headgate_owner IN SCHEMA public
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO headgate_cp;
ALTER DEFAULT PRIVILEGES FOR ROLE headgate_owner IN SCHEMA public
  GRANT USAGE, SELECT ON SEQUENCES TO headgate_cp;
