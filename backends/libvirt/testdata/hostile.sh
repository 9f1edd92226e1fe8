# What root in a guest does to get out. Every attempt carries a word; the test
# hears which words arrive. $@ is NAME ADDRESS PORT of what it tries as it is;
# $mate_mac and $mate6 are another guest's card and its link-local address.
# shellcheck shell=dash disable=SC2154 # they are set in front of it
nft flush ruleset
dev=$(ip -o link | sed -n 's/^[0-9]*: \(e[a-z0-9]*\):.*/\1/p' | head -n 1)
mac=$(cat /sys/class/net/$dev/address)
mine=$(ip -4 -o addr show dev $dev | sed 's/.* inet \([0-9.]*\).*/\1/' | head -n 1)
gateway=192.168.122.1 neighbour=192.168.122.250 public=192.175.48.7

# A dropped packet is answered by silence: tcp waits it out, all at once.
tcp() { timeout 10 bash -c "exec 3<>/dev/tcp/$2/$3 && echo $1-tcp >&3" 2>/dev/null; }
udp() { bash -c "echo $1-udp >/dev/udp/$2/$3" 2>/dev/null; }

while [ $# -ge 3 ]; do
	tcp $1 $2 $3 &
	udp $1 $2 $3
	shift 3
done
# From a port that looks like an answer.
echo host-port53-tcp | timeout 10 busybox nc -w 5 -p 53 $gateway 7777 >/dev/null 2>&1 &
busybox nslookup localhost $gateway 2>&1 | grep -q 'Address: *127.0.0.1' && echo 'dns answers'
# To another guest by way of the router, with a frame of its own making, by IPv6.
ip route add $neighbour/32 via $gateway
udp hairpin $neighbour 7777
ip route del $neighbour/32
ip neigh replace $neighbour lladdr $mate_mac dev $dev nud permanent
udp frame $neighbour 7777
udp linklocal6 "$mate6%$dev" 7777
wait
# With the addresses of another guest.
ip addr add 192.168.122.66/24 dev $dev
ip route add $public/32 via $gateway src 192.168.122.66
udp spoofed-ip $public 7777
ip route del $public/32
ip addr del 192.168.122.66/24 dev $dev
ip link set $dev down
ip link set $dev address 52:54:00:66:66:66
ip link set $dev up
ip neigh replace $neighbour lladdr $mate_mac dev $dev nud permanent
udp spoofed-mac $neighbour 7777
ip link set $dev down
ip link set $dev address $mac
ip link set $dev up
ip route replace default via $gateway
ip neigh del $neighbour dev $dev
# As the gateway, to the neighbour.
ip addr add $gateway/32 dev $dev
busybox arping -q -c 2 -w 3 -s $gateway -I $dev $neighbour
ip addr del $gateway/32 dev $dev
echo "done: $dev $mac $mine"
