#!/usr/bin/env bash
# What the agents and the operator prove themselves with: a CA of the shop and this machine's certificate from it, gossip
# keys, tokens. What is there stays. The first machine makes them; one that joins others is given its own ('shop bundle').
# With --certificate the machine's certificate is made anew, by the CA that is to come where there is one ('shop rotate').
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

umask 077
mkdir -p "$ACCESS"
cd "$ACCESS"

# secret FILE COMMAND… keeps what a command prints, once.
secret() {
	local file=$1
	shift
	[ -s "$file" ] || { "$@" >"$file.new" && mv "$file.new" "$file"; }
}
uuid() { cat /proc/sys/kernel/random/uuid; }

address=$(node_address)
if [ -s ca.pem ] && [ ! -s ca-key.pem ]; then # given by the first machine
	for file in consul.gossip nomad.gossip agent.consul agent.nomad; do
		[ -s "$file" ] || die "$ACCESS has no $file: give this machine its keys anew, with 'shop bundle $address' on the first"
	done
else
	[ -s ca.pem ] || [ -z "$BOOKSTORE_SERVERS" ] || [ "${BOOKSTORE_SERVERS%%,*}" = "$address" ] ||
		die "this machine joins others and has no keys: on ${BOOKSTORE_SERVERS%%,*}, 'shop bundle $address' prints them; unpack that with tar in $ACCESS"
	secret consul.gossip consul keygen
	secret nomad.gossip nomad operator gossip keyring generate
	for token in operator.nomad operator.consul agent.consul agent.nomad; do secret "$token" uuid; done
fi

if [ ! -s ca.pem ]; then
	nomad tls ca create -days 3650 >/dev/null
	mv nomad-agent-ca-key.pem ca-key.pem
	mv nomad-agent-ca.pem ca.pem
fi
# belongs KEY CERTIFICATE tells whether a key is that of a certificate.
belongs() { cmp <(openssl pkey -in "$1" -pubout) <(openssl x509 -in "$2" -noout -pubkey); }
ca=ca.pem key=
[ "${1:-}" != --certificate ] || [ ! -s ca.pem.next ] || ca=ca.pem.next
for file in ca-key.pem ca-key.pem.next; do
	if belongs "$file" "$ca" >/dev/null 2>&1; then key=$file; fi
done
# certified tells whether the certificate is one of the CA and of the key, has this machine's address, and a month of its
# year left.
certified() {
	openssl x509 -in agent.pem -noout -checkend $((30 * 24 * 3600)) &&
		openssl x509 -in agent.pem -noout -checkip "$address" | grep -q 'does match' &&
		openssl verify -CAfile ca.pem agent.pem &&
		belongs agent-key.pem agent.pem
}
if [ "${1:-}" = --certificate ] || ! certified >/dev/null 2>&1; then
	[ -n "$key" ] || die "this machine has no certificate for $address that is good for a month, and no key of the CA to make one: 'shop bundle $address' on the first machine prints one; unpack it with tar in $ACCESS"
	# The names are those that servers are asked for: Nomad's and Consul's.
	nomad tls cert create -server -days 365 -ca "$ca" -key "$key" \
		-additional-dnsname server.dc1.consul -additional-dnsname client.global.nomad -additional-ipaddress "$address" >/dev/null 2>&1
	mv global-server-nomad-key.pem agent-key.pem
	mv global-server-nomad.pem agent.pem
	for agent in consul nomad; do
		if alive "$agent"; then kill -HUP "$(cat "$RUN/$agent.pid")"; fi
	done
fi

# The door's certificate proves a server to customers, and nothing to the agents.
door_certificate() {
	openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout door-key.pem -out door.csr 2>/dev/null
	openssl x509 -req -in door.csr -CA "$ca" -CAkey "$key" -days 365 -out door.pem -extfile - <<-EOF 2>/dev/null
		basicConstraints = critical, CA:FALSE
		keyUsage = critical, digitalSignature
		extendedKeyUsage = serverAuth
		subjectAltName = DNS:localhost, IP:127.0.0.1, IP:$address
	EOF
	rm door.csr
}
# door_serves tells whether the certificate is another CA's ('go tool shop certificate'), or good for a month and this machine.
door_serves() {
	[ -s door.pem ] || return 1
	! openssl verify -CAfile ca.pem door.pem || {
		openssl x509 -in door.pem -noout -checkend $((30 * 24 * 3600)) && openssl x509 -in door.pem -noout -checkip "$address" | grep -q 'does match'
	}
}
if [ -n "$key" ] && ! door_serves >/dev/null 2>&1; then door_certificate; fi
# A new CA makes its own certificate anew, and not another's.
if [ "${1:-}" = --certificate ] && openssl verify -CAfile ca.pem door.pem >/dev/null 2>&1; then door_certificate; fi
# Everybody may know whom to trust.
install -d -m 755 /etc/bookstore
install -m 644 ca.pem /etc/bookstore/ca.pem

# For the commands nomad and consul: set -a, then source it. A machine that is client alone need not have the operator's tokens.
[ -s operator.nomad ] || exit 0
cat >operator.env.new <<EOF
NOMAD_ADDR=$NOMAD_ADDR
NOMAD_CACERT=$ACCESS/ca.pem
NOMAD_TOKEN=$(<operator.nomad)
CONSUL_HTTP_ADDR=$CONSUL_HTTP_ADDR
CONSUL_CACERT=$ACCESS/ca.pem
CONSUL_HTTP_TOKEN=$(<operator.consul)
EOF
mv operator.env.new operator.env
