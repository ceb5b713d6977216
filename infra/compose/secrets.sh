#!/bin/sh
# Makes the secrets that compose.yaml mounts, in secrets/ beside it, which git does not see.  What is there stays.
# Containers read them as other users, so the files are readable; the folder is its owner's alone.
set -eu
folder=$(cd "$(dirname "$0")" && pwd)/secrets
umask 022
mkdir -p "$folder"
chmod 700 "$folder"

random() { od -An -v -N24 -tx1 /dev/urandom | tr -d ' \n'; }

for name in postgres_password ray_token; do
  [ -e "$folder/$name" ] || random > "$folder/$name"
done

if [ ! -e "$folder/aws_credentials" ]; then
  key=$(random)
  printf '[default]\naws_access_key_id = gan\naws_secret_access_key = %s\n' "$key" > "$folder/aws_credentials"
  printf '{"identities": [{"name": "gan", "credentials": [{"accessKey": "gan", "secretKey": "%s"}], "actions": ["Admin:gans"]}]}\n' \
    "$key" > "$folder/store_identities.json"
fi
ls "$folder"
