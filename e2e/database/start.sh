# A real PostgreSQL for the scenarios, in its own image: who may log in stands in POSTGRES_USER and POSTGRES_PASSWORD.
set -e
programs=$(echo /opt/site/*/pginstall/bin)
data=/tmp/data
umask 077
printf '%s' "$POSTGRES_PASSWORD" >/tmp/password
"$programs/initdb" --no-sync -D $data -U "$POSTGRES_USER" -A scram-sha-256 --pwfile=/tmp/password
echo "host all all all scram-sha-256" >>$data/pg_hba.conf
exec "$programs/postgres" -D $data -c listen_addresses='*' -c unix_socket_directories=/tmp -c fsync=off
