//! Ports of the host that pods take (the scheduler's `HostPortInfo` and `GetHostPorts`).

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{ContainerPort, PodSpec};
use smol_str::SmolStr;

use super::resources::is_restartable;

/// The address that stands for all addresses of a host.
pub const WILDCARD: &str = "0.0.0.0";

/// One port of the host. Orders by protocol and port, then address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// e.g. `TCP`.
    pub protocol: SmolStr,
    /// 1 to 65535.
    pub port: i32,
    /// Address of the host, [`WILDCARD`] for all.
    pub ip: SmolStr,
}

impl HostPort {
    /// With the defaults for what is empty: all addresses, TCP. `None` if it is not a port of the host.
    pub fn new(ip: &str, protocol: &str, port: i32) -> Option<HostPort> {
        let or = |text: &str, default: &'static str| match text {
            "" => SmolStr::new_static(default),
            text => SmolStr::new(text),
        };
        (port > 0).then(|| HostPort { protocol: or(protocol, "TCP"), port, ip: or(ip, WILDCARD) })
    }

    fn of(port: &ContainerPort) -> Option<HostPort> {
        let text = |t: &'_ Option<String>| t.clone().unwrap_or_default();
        HostPort::new(&text(&port.host_ip), &text(&port.protocol), port.host_port.unwrap_or_default())
    }

    /// True if both cannot be taken at once.
    pub fn conflicts(&self, other: &HostPort) -> bool {
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || self.ip == WILDCARD || other.ip == WILDCARD)
    }
}

/// The ports of the host that a pod takes: those of its sidecars, then those of its containers.
pub fn host_ports(spec: &PodSpec) -> Vec<HostPort> {
    let sidecars = spec.init_containers.iter().flatten().filter(|c| is_restartable(c));
    sidecars.chain(&spec.containers).flat_map(|c| c.ports.iter().flatten()).filter_map(HostPort::of).collect()
}

/// The ports that are taken on a host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostPorts {
    taken: BTreeSet<HostPort>,
}

impl HostPorts {
    /// Takes a port. Taking it twice is once.
    pub fn insert(&mut self, port: HostPort) {
        self.taken.insert(port);
    }

    /// Gives a port back.
    pub fn remove(&mut self, port: &HostPort) {
        self.taken.remove(port);
    }

    /// True if a port that is taken stands in the way of this one.
    pub fn conflicts(&self, port: &HostPort) -> bool {
        let first = HostPort { ip: SmolStr::default(), ..port.clone() };
        let same =
            self.taken.range(first..).take_while(|t| t.port == port.port && t.protocol == port.protocol);
        same.into_iter().any(|taken| taken.conflicts(port))
    }

    /// Number of ports taken.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// True if none is taken.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcard_and_addresses() {
        let port = |ip, protocol, port| HostPort::new(ip, protocol, port).unwrap();
        let mut taken = HostPorts::default();
        taken.insert(port("127.0.0.1", "", 80));
        taken.insert(port("", "UDP", 53));
        for (candidate, conflicts) in [
            (port("127.0.0.1", "TCP", 80), true),
            (port("10.0.0.1", "TCP", 80), false),
            (port("", "TCP", 80), true),
            (port("127.0.0.1", "UDP", 80), false),
            (port("10.0.0.1", "UDP", 53), true),
            (port("", "", 81), false),
        ] {
            assert_eq!(taken.conflicts(&candidate), conflicts, "{candidate:?}");
        }
        taken.remove(&port("", "UDP", 53));
        assert!(!taken.conflicts(&port("10.0.0.1", "UDP", 53)));
        assert_eq!(HostPort::new("", "", 0), None);
    }
}
