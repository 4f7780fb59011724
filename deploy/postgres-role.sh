#!/bin/sh
# On the first start of PostgreSQL: the role as which serving processes sign in; `manage.py prepare` grants it what it needs.
set -eu
psql --set ON_ERROR_STOP=1 --set "password=$(cat /run/secrets/app_password)" \
    --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE countersign_app LOGIN PASSWORD :'password';
SQL
