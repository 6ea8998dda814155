//! Addresses and networks (library `ip.go`, `cidr.go`), with the messages of Go's `net/netip`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sim_values::syntax::go_quote;

use super::text;
use crate::failure::Failure;
use crate::meter::Meter;
use crate::value::Value;

type Outcome = Result<Value, Failure>;

fn address(args: &[Value]) -> Result<IpAddr, Failure> {
    match args.first() {
        Some(Value::Ip(ip)) => Ok(*ip),
        _ => Err(Failure::no_overload()),
    }
}

fn network(args: &[Value]) -> Result<(IpAddr, u8), Failure> {
    match args.first() {
        Some(Value::Cidr(ip, bits)) => Ok((*ip, *bits)),
        _ => Err(Failure::no_overload()),
    }
}

/// `parseIPAddr`.
fn parse_ip(text: &str) -> Result<IpAddr, String> {
    if text.contains('%') && text.contains(':') {
        return Err(format!("IP address {} with zone value is not allowed", go_quote(text)));
    }
    let ip: IpAddr = text.parse().map_err(|_| {
        let inner = format!("ParseAddr({}): {}", go_quote(text), why_no_address(text));
        format!("IP Address {} parse error during conversion from string: {inner}", go_quote(text))
    })?;
    if mapped(ip) {
        return Err(format!("IPv4-mapped IPv6 address {} is not allowed", go_quote(text)));
    }
    Ok(ip)
}

fn mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

/// Go's reason for the common mistakes.
fn why_no_address(text: &str) -> String {
    if !text.contains(['.', ':', '%']) {
        return "unable to parse IP".into();
    }
    if text.contains(':') {
        return "each colon-separated field must have at least one digit".into();
    }
    let fields: Vec<&str> = text.split('.').collect();
    if let Some(character) = text.chars().find(|c| !c.is_ascii_digit() && *c != '.') {
        let at = text.find(character).unwrap_or(0);
        return format!("unexpected character (at {})", go_quote(&text[at..]));
    }
    if fields.iter().any(|f| f.is_empty()) {
        return "IPv4 field must have at least one digit".into();
    }
    if fields.iter().any(|f| f.len() > 1 && f.starts_with('0')) {
        return "IPv4 field has octet with leading zero".into();
    }
    if fields.iter().any(|f| f.parse::<u8>().is_err()) {
        return "IPv4 field has value >255".into();
    }
    if fields.len() < 4 { "IPv4 address too short" } else { "IPv4 address too long" }.into()
}

fn parse_cidr(text: &str) -> Result<(IpAddr, u8), String> {
    let broken = |why: &str| {
        format!(
            "network address parse error during conversion from string: netip.ParsePrefix({}): {why}",
            go_quote(text)
        )
    };
    let (ip, bits) = text.rsplit_once('/').ok_or_else(|| broken("no '/'"))?;
    let address: IpAddr =
        ip.parse().map_err(|_| broken(&format!("ParseAddr({}): {}", go_quote(ip), why_no_address(ip))))?;
    let canonical = bits.bytes().all(|b| b.is_ascii_digit()) && !(bits.len() > 1 && bits.starts_with('0'));
    let bad = || broken(&format!("bad bits after slash: {}", go_quote(bits)));
    let length: u32 = if canonical { bits.parse().map_err(|_| bad())? } else { return Err(bad()) };
    let most = if address.is_ipv4() { 32 } else { 128 };
    if length > most {
        return Err(broken("prefix length out of range"));
    }
    if mapped(address) {
        return Err(format!("IPv4-mapped IPv6 address {} is not allowed", go_quote(text)));
    }
    Ok((address, length as u8))
}

pub(crate) fn ip(_: &mut Meter, args: &[Value]) -> Outcome {
    parse_ip(text(args)?).map(Value::Ip).map_err(Failure::error)
}

pub(crate) fn is_ip(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Bool(parse_ip(text(args)?).is_ok()))
}

pub(crate) fn is_canonical(_: &mut Meter, args: &[Value]) -> Outcome {
    let text = text(args)?;
    let ip = parse_ip(text).map_err(Failure::error)?;
    Ok(Value::Bool(ip.to_string() == text))
}

pub(crate) fn to_string(_: &mut Meter, args: &[Value]) -> Outcome {
    match args {
        [Value::Ip(ip)] => Ok(Value::string(ip.to_string())),
        [Value::Cidr(ip, bits)] => Ok(Value::string(format!("{ip}/{bits}"))),
        _ => Err(Failure::no_overload()),
    }
}

pub(crate) fn family(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Int(if address(args)?.is_ipv4() { 4 } else { 6 }))
}

pub(crate) fn is_unspecified(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Bool(address(args)?.is_unspecified()))
}

pub(crate) fn is_loopback(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Bool(address(args)?.is_loopback()))
}

fn link_local_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
    }
}

pub(crate) fn is_link_local_unicast(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Bool(link_local_unicast(address(args)?)))
}

pub(crate) fn is_link_local_multicast(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Bool(match address(args)? {
        IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
    }))
}

pub(crate) fn is_global_unicast(_: &mut Meter, args: &[Value]) -> Outcome {
    let ip = address(args)?;
    let broadcast = ip == IpAddr::V4(Ipv4Addr::BROADCAST);
    let special = broadcast || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast();
    Ok(Value::Bool(!special && !link_local_unicast(ip)))
}

pub(crate) fn cidr(_: &mut Meter, args: &[Value]) -> Outcome {
    let parsed = parse_cidr(text(args)?);
    let wrap =
        |why| Failure::error(format!("network address parse error during conversion from string: {why}"));
    parsed.map(|(ip, bits)| Value::Cidr(ip, bits)).map_err(wrap)
}

pub(crate) fn is_cidr(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Bool(parse_cidr(text(args)?).is_ok()))
}

pub(crate) fn cidr_ip(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Ip(network(args)?.0))
}

pub(crate) fn prefix_length(_: &mut Meter, args: &[Value]) -> Outcome {
    Ok(Value::Int(network(args)?.1.into()))
}

/// The address with all but the leading bits cleared.
fn mask(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

pub(crate) fn masked(_: &mut Meter, args: &[Value]) -> Outcome {
    let (ip, bits) = network(args)?;
    Ok(Value::Cidr(mask(ip, bits), bits))
}

fn within(network: (IpAddr, u8), ip: IpAddr) -> bool {
    network.0.is_ipv4() == ip.is_ipv4() && mask(network.0, network.1) == mask(ip, network.1)
}

pub(crate) fn contains_ip(meter: &mut Meter, args: &[Value]) -> Outcome {
    let own = network(args)?;
    let other = match args.get(1) {
        Some(Value::Ip(ip)) => *ip,
        Some(text @ Value::String(_)) => match ip(meter, std::slice::from_ref(text))? {
            Value::Ip(ip) => ip,
            _ => return Err(Failure::no_overload()),
        },
        _ => return Err(Failure::no_overload()),
    };
    Ok(Value::Bool(within(own, other)))
}

pub(crate) fn contains_cidr(meter: &mut Meter, args: &[Value]) -> Outcome {
    let own = network(args)?;
    let other = match args.get(1) {
        Some(Value::Cidr(ip, bits)) => (*ip, *bits),
        Some(text @ Value::String(_)) => match cidr(meter, std::slice::from_ref(text))? {
            Value::Cidr(ip, bits) => (ip, bits),
            _ => return Err(Failure::no_overload()),
        },
        _ => return Err(Failure::no_overload()),
    };
    Ok(Value::Bool(within(own, other.0) && own.1 <= other.1))
}
