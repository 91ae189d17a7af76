#!/usr/bin/env bash
# Makes a development CA and a server certificate for the given names. Not for production.
#   infra/certs/make-dev-certs.sh FOLDER NAME [NAME …]
set -euo pipefail
folder=${1:?a folder}; shift
[ $# -gt 0 ] || { echo "make-dev-certs: name at least one host" >&2; exit 1; }
umask 077
mkdir -p "$folder"
cd "$folder"
for file in ca.key server.key; do
  [ ! -e "$file" ] || { echo "make-dev-certs: $folder/$file is there already" >&2; exit 1; }
done

names=""
for name in "$@"; do
  case $name in
    *[!0-9.]*) names="$names,DNS:$name" ;;
    *) names="$names,IP:$name" ;;
  esac
done

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=Headgate development CA" \
  -addext "basicConstraints=critical,CA:TRUE,pathlen:0" -addext "keyUsage=critical,keyCertSign" \
  -keyout ca.key -out ca.crt 2>/dev/null
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout server.key -out server.csr 2>/dev/null
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -out server.crt \
  -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth' "${names#,}") 2>/dev/null
rm -f server.csr ca.srl
echo "ca.crt, server.crt and server.key in $folder, valid for 30 days"
