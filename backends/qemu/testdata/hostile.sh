# What root in a guest does to get out. Every attempt carries a word; the test
# hears which words arrive. $@ is NAME ADDRESS PORT of what it tries as it is.
# shellcheck shell=dash
nft flush ruleset
dev=$(ip -o link | sed -n 's/^[0-9]*: \(e[a-z0-9]*\):.*/\1/p' | head -n 1)

tcp() { timeout 10 bash -c "exec 3<>/dev/tcp/$2/$3 && echo $1-tcp >&3" 2>/dev/null; }
udp() { bash -c "echo $1-udp >/dev/udp/$2/$3" 2>/dev/null; }

while [ $# -ge 3 ]; do
	tcp "$1" "$2" "$3" &
	udp "$1" "$2" "$3"
	shift 3
done
# Names: of the internet, and of a private network.
for name in public private; do
	address=$(busybox nslookup -type=a $name.test 10.0.2.3 | sed -n '/^Name:/,$ s/^Address.*: *\([0-9.]*\)$/\1/p' | head -n 1)
	echo "$name.test is $address"
	tcp $name-name "$address" 7777 &
done
# The host's loopback by its own address, which a kernel does not send to a wire
# unless it is told to.
echo 1 >/proc/sys/net/ipv4/conf/all/route_localnet
ip route del table local 127.0.0.0/8 dev lo
ip route del table local 127.0.0.1 dev lo
ip route add 127.0.0.1/32 via 10.0.2.2 dev "$dev" src 10.0.2.15
tcp martian 127.0.0.1 7777
udp martian 127.0.0.1 7777
ip route del 127.0.0.1/32
ip route add table local local 127.0.0.0/8 dev lo
wait
# Broadcast and multicast.
echo broadcast-udp | busybox timeout 2 busybox nc -u -b 255.255.255.255 7777 2>/dev/null
ip route add 224.0.0.0/4 dev "$dev"
udp multicast 224.0.0.251 7777
# Who answers a ping?
for a in 10.0.2.2 192.168.1.10 192.175.48.7; do
	busybox ping -c 1 -W 1 $a >/dev/null 2>&1 && echo "$a answers a ping"
done
busybox udhcpc -n -q -f -t 3 -i "$dev" -s /bin/true 2>&1
echo "done: $dev"
