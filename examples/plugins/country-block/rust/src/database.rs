//! The networks of countries: lines of `NETWORK,COUNTRY`, as `192.0.2.0/24,XA` or `2001:db8::/32,XB`. Empty lines, and those
//! that begin with `#`, mean nothing. Networks do not overlap.

use std::net::IpAddr;

/// Networks, in the order of their addresses.
#[derive(Debug, Default)]
pub struct Database(Vec<Network>);

#[derive(Debug)]
struct Network {
    first: u128,
    last: u128,
    country: Box<str>,
}

impl Database {
    /// # Errors
    ///
    /// The line that cannot be read, and why.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let read =
            lines.map(|(number, line)| network(line).ok_or_else(|| format!("line {number} is not NETWORK,COUNTRY")));
        let mut networks = read.collect::<Result<Vec<_>, _>>()?;
        networks.sort_by_key(|network| network.first);
        match networks.windows(2).find(|pair| pair[0].last >= pair[1].first) {
            Some(pair) => Err(format!("networks of {} and {} overlap", pair[0].country, pair[1].country)),
            None => Ok(Self(networks)),
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The country of an address.
    pub fn country(&self, address: IpAddr) -> Option<&str> {
        let address = number(address);
        let after = self.0.partition_point(|network| network.first <= address);
        let network = self.0.get(after.checked_sub(1)?)?;
        (address <= network.last).then_some(&network.country)
    }
}

fn network(line: &str) -> Option<Network> {
    let (network, country) = line.split_once(',')?;
    let (address, prefix) = network.split_once('/')?;
    let (address, prefix): (IpAddr, u32) = (address.parse().ok()?, prefix.parse().ok()?);
    // Addresses of version 4 are the last of those that begin with ::ffff.
    let prefix = if address.is_ipv4() { prefix.checked_add(96)? } else { prefix };
    let hosts = u128::MAX.checked_shr(prefix).unwrap_or(0);
    let first = number(address);
    let is_network = prefix <= 128 && first & hosts == 0 && !country.is_empty();
    is_network.then(|| Network { first, last: first | hosts, country: country.trim().into() })
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_of_its_network() {
        let text = "# networks\n\n198.51.100.0/24,XB\n192.0.2.0/25, XA\n2001:db8::/32,XC\n192.0.2.255/32,XD\n";
        let database = Database::parse(text).unwrap();
        for (address, country) in [
            ("192.0.2.0", Some("XA")),
            ("192.0.2.127", Some("XA")),
            ("192.0.2.128", None),
            ("192.0.2.255", Some("XD")),
            ("198.51.100.255", Some("XB")),
            ("198.51.101.0", None),
            ("::ffff:198.51.100.1", Some("XB")),
            ("2001:db8:ffff::", Some("XC")),
            ("2001:db9::", None),
            ("0.0.0.0", None),
        ] {
            assert_eq!(database.country(address.parse().unwrap()), country, "{address}");
        }
        assert_eq!(Database::parse("").unwrap().country("::1".parse().unwrap()), None);
        assert_eq!(Database::parse("::/0,XX").unwrap().country("192.0.2.1".parse().unwrap()), Some("XX"));
    }

    #[test]
    fn what_is_no_network_is_told() {
        for line in
            ["x", "192.0.2.0/24", "192.0.2.0/24,", "192.0.2.1/24,XA", "192.0.2.0/33,XA", "192.0.2.0/4294967295,XA"]
        {
            let error = Database::parse(&format!("192.0.2.0/24,XA\n{line}")).unwrap_err();
            assert_eq!(error, "line 2 is not NETWORK,COUNTRY", "{line}");
        }
        let error = Database::parse("192.0.2.0/24,XA\n192.0.2.128/25,XB").unwrap_err();
        assert_eq!(error, "networks of XA and XB overlap");
    }
}
