#!/bin/sh
# Lays out what an image holds: the program, certificates, who runs it, and an empty folder to write to.
#
#   deploy/docker/root.sh PROGRAM CERTIFICATES RDS_CERTIFICATES NOTICES FOLDER
#
# CERTIFICATES are the public authorities, RDS_CERTIFICATES those of Amazon RDS, which no public list has; both in PEM.
# NOTICES are what deploy/notices.sh prints.
set -eu
program=$1 certificates=$2 rds_certificates=$3 notices=$4 folder=$5
repository=$(dirname "$0")/../..

for file in "$certificates" "$rds_certificates"; do
    grep -q '^-----BEGIN CERTIFICATE-----' "$file" || { echo "$file holds no certificate" >&2; exit 1; }
done
mkdir -p "$folder/etc/ssl/certs" "$folder/licenses" "$folder/tmp"
chmod 1777 "$folder/tmp"
install -m 755 "$program" "$folder/topshelf"
# Both are believed without further setting; RDS's lie apart too, for whoever wants to believe no other.
cat "$certificates" "$rds_certificates" > "$folder/etc/ssl/certs/ca-certificates.crt"
install -m 644 "$rds_certificates" "$folder/etc/ssl/certs/rds.pem"
printf 'root:x:0:0::/:/sbin/nologin\ntopshelf:x:65532:65532::/tmp:/sbin/nologin\n' > "$folder/etc/passwd"
printf 'root:x:0:\ntopshelf:x:65532:\n' > "$folder/etc/group"
# Nothing in the image reads them: they take a fifteenth of their room so.
gzip -9 --no-name < "$notices" > "$folder/licenses/third-party.txt.gz"
install -m 644 "$repository/LICENSE-MIT" "$repository/LICENSE-APACHE" "$folder/licenses"
# Without it, the C library asks for names in the DNS first, and then may not look into /etc/hosts.
printf 'hosts: files dns\n' > "$folder/etc/nsswitch.conf"
chmod 644 "$folder/etc/ssl/certs/ca-certificates.crt" "$folder/licenses/third-party.txt.gz" \
    "$folder/etc/passwd" "$folder/etc/group" "$folder/etc/nsswitch.conf"
