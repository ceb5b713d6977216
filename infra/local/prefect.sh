#!/usr/bin/env bash
# A real Prefect server on PostgreSQL on this machine, for trying and testing.
#
#   infra/local/prefect.sh install            Debian's postgresql, as root or with sudo
#   infra/local/prefect.sh start [PORT]       on 127.0.0.1, port 4200; prints the environment to export
#   infra/local/prefect.sh kill-server        SIGKILL to Prefect's server alone; the database stays
#   infra/local/prefect.sh restart-server     the same port and database again
#   infra/local/prefect.sh stop               and all that it holds is gone
#
#   eval "$(infra/local/prefect.sh start)" && gan run configs/digits.yaml
#
# PREFECT_LOCAL_HOME (/tmp/gan-prefect) holds its state, PREFECT_LOCAL_PYTHON (.venv/bin/python) is a Python with Prefect.
# Other PREFECT_ variables are settings of the server.  Nothing listens beyond loopback: PostgreSQL has a socket of its
# own and a random password, kept in a file that its owner alone reads.  It does not wait for the disk (fsync off):
# a killed process loses nothing, a power cut may lose all.
set -euo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
home=${PREFECT_LOCAL_HOME:-/tmp/gan-prefect}
python=${PREFECT_LOCAL_PYTHON:-$root/.venv/bin/python}
sockets=$home/sockets
PATH=$PATH:/usr/sbin:/sbin$(printf ':%s' /usr/lib/postgresql/*/bin)

as_owner() { # PostgreSQL does not run as root
  if [ $EUID = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}

start_database() {
  mkdir -m 700 "$home/database" "$home/log"
  mkdir -m 755 "$sockets"
  [ $EUID != 0 ] || chown postgres "$home/database" "$sockets"
  as_owner initdb -D "$home/database" -E UTF8 --locale=C.UTF-8 --auth=peer --no-sync --no-instructions
  as_owner tee "$home/database/pg_hba.conf" > /dev/null <<< 'local prefect prefect scram-sha-256
local all all peer'
  as_owner tee -a "$home/database/postgresql.conf" > /dev/null <<END
listen_addresses = ''
unix_socket_directories = '$sockets'
fsync = off
full_page_writes = off
max_connections = 100
shared_buffers = 32MB
END
  as_owner pg_ctl -D "$home/database" -l "$home/database/log" -w -t 60 start
  (umask 077 && od -An -N 24 -tx1 /dev/urandom | tr -d ' \n' > "$home/password")
  as_owner psql -q -h "$sockets" -d postgres -v ON_ERROR_STOP=1 <<< "create role prefect login password '$(cat "$home/password")';
create database prefect owner prefect;"
}

listens() {
  local code=0
  curl -s --max-time 5 "http://127.0.0.1:$(cat "$home/port")" > /dev/null || code=$?
  [ $code != 7 ] # curl's "failed to connect"
}

start_server() {
  local port
  port=$(cat "$home/port")
  if listens; then
    echo "something listens on port $port already; infra/local/prefect.sh start PORT takes another" >&2
    return 1
  fi
  env -u PREFECT_API_URL PREFECT_HOME="$home/prefect" PREFECT__SERVER_FINAL=1 DO_NOT_TRACK=1 \
    PREFECT_SERVER_ANALYTICS_ENABLED=false PREFECT_SERVER_UI_API_URL="http://127.0.0.1:$port/api" \
    PREFECT_API_DATABASE_CONNECTION_URL="postgresql+asyncpg://prefect:$(cat "$home/password")@/prefect?host=$sockets" \
    setsid "$python" -m uvicorn --factory prefect.server.api.server:create_app --host 127.0.0.1 --port "$port" \
    --log-level warning >> "$home/log/server.log" 2>&1 < /dev/null &
  echo $! > "$home/server.pid"
  for _ in $(seq 600); do
    curl -sf --max-time 5 "http://127.0.0.1:$port/api/health" > /dev/null && return
    kill -0 "$(cat "$home/server.pid")" 2> /dev/null || break
    sleep 0.1
  done
  echo "Prefect's server did not start; $home/log/server.log says why" >&2
  return 1
}

kill_server() {
  [ -f "$home/server.pid" ] || return 0
  kill -KILL -- "-$(cat "$home/server.pid")" 2> /dev/null || true
  for _ in $(seq 200); do listens || break; sleep 0.05; done # until the last of its threads is gone
  rm "$home/server.pid"
}

stop_all() {
  kill_server
  [ ! -f "$home/database/postmaster.pid" ] || as_owner pg_ctl -D "$home/database" -m immediate -w stop > /dev/null || true
  rm -rf "$home"
}

give_up() { # says a log's last words, and leaves nothing behind
  [ ! -f "$1" ] || tail -n 20 "$1" >&2
  stop_all
}

have() { # whether all of these are installed: command -v of several says yes where one is
  local tool
  for tool; do command -v "$tool" > /dev/null || return 1; done
}

case "${1:-}" in
  install)
    have initdb pg_ctl psql curl && exit 0
    sudo="env"
    [ $EUID = 0 ] || sudo="sudo env"
    $sudo apt-get update -qq
    # Debian would start a server of its own at once.
    $sudo mkdir -p /etc/postgresql-common
    [ -f /etc/postgresql-common/createcluster.conf ] ||
      echo "create_main_cluster = false" | $sudo tee /etc/postgresql-common/createcluster.conf > /dev/null
    $sudo DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql curl > /dev/null
    ;;
  start)
    command -v initdb > /dev/null ||
      { echo "PostgreSQL is not installed: infra/local/prefect.sh install, as root" >&2; exit 1; }
    [ -x "$python" ] || { echo "$python is not there: make setup, or set PREFECT_LOCAL_PYTHON" >&2; exit 1; }
    [ ${#sockets} -lt 88 ] || { echo "PREFECT_LOCAL_HOME=$home is too long a path for a socket: /tmp/gan-prefect works" >&2; exit 1; }
    stop_all
    mkdir -m 755 "$home"
    echo "${2:-4200}" > "$home/port"
    trap 'give_up "$home/start.log"' EXIT
    (start_database) > "$home/start.log" 2>&1
    trap 'give_up "$home/log/server.log"' EXIT
    start_server
    trap - EXIT
    echo "export PREFECT_API_URL=http://127.0.0.1:$(cat "$home/port")/api"
    ;;
  kill-server) kill_server ;;
  restart-server)
    [ -f "$home/port" ] || { echo "nothing runs in $home: infra/local/prefect.sh start" >&2; exit 1; }
    kill_server
    start_server
    ;;
  stop) stop_all ;;
  *) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
