#!/bin/sh
# Makes the image the Dockerfile begins with, where it cannot be pulled: Debian trixie's own root file system and its
# Python 3.13, arranged and named as the official image. Needs root, debootstrap and buildah.
set -eu
name=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

debootstrap --variant=minbase \
    --include=python3,python3-venv,python3-pip,ca-certificates,netbase,tzdata trixie "$folder" >"$folder.log" 2>&1 ||
    { tail -20 "$folder.log"; exit 1; }
rm -f "$folder.log"
rm -rf "$folder"/var/cache/apt/archives/*.deb "$folder"/var/lib/apt/lists/* "$folder"/usr/share/doc "$folder"/usr/share/man
chmod 755 "$folder"
cat >"$folder/etc/apt/apt.conf.d/docker-clean" <<'END'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";
END
rm -f "$folder"/usr/lib/python3*/EXTERNALLY-MANAGED
ln -s ../../bin/python3 "$folder/usr/local/bin/python3"
ln -s ../../bin/python3 "$folder/usr/local/bin/python"
# What this machine trusts, its company's own authority included, the image trusts too.
cp /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/ca-certificates.crt"
tar -C "$folder" --numeric-owner -cf "$folder.tar" .
trap 'rm -rf "$folder" "$folder.tar"' EXIT
podman --storage-driver=vfs import --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' \
    "$folder.tar" "$name"
