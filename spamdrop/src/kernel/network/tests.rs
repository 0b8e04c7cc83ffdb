#![expect(clippy::unwrap_used, reason = "a test may panic")]
use super::*;

fn route(kind: RouteType, table: u8, net: &str) -> RouteMessage {
    let net: IpNet = net.parse().unwrap();
    let mut route = RouteMessage::default();
    route.header.kind = kind;
    route.header.table = table;
    route.header.destination_prefix_length = net.prefix_len();
    route.header.address_family = match net {
        IpNet::V4(_) => AddressFamily::Inet,
        IpNet::V6(_) => AddressFamily::Inet6,
    };
    // The kernel sends no destination for a default route.
    if net.prefix_len() != 0 {
        let destination = RouteAttribute::Destination(net.addr().into());
        route.attributes.push(destination);
    }
    route
}

#[test]
fn local_routes_of_every_table_count_but_not_those_of_tproxy() {
    for (kind, table, net, counts) in [
        (RouteType::Local, 255, "192.0.2.1/32", true),
        (RouteType::Local, 255, "10.9.0.0/16", true),
        (RouteType::Local, 10, "198.51.100.1/32", true),
        (RouteType::Local, 255, "2001:db8::25/128", true),
        (RouteType::Local, 255, "0.0.0.0/0", true),
        (RouteType::Local, 100, "0.0.0.0/0", false),
        (RouteType::Local, 100, "::/0", false),
        (RouteType::Unicast, 254, "192.0.2.0/24", false),
        (RouteType::Broadcast, 255, "192.0.2.255/32", false),
        (RouteType::Anycast, 255, "2001:db8::/128", false),
    ] {
        let found = local_prefix(&route(kind, table, net));
        let expected = counts.then(|| net.parse().unwrap());
        assert_eq!(found, expected, "{kind:?} {net} in {table}");
    }
}
