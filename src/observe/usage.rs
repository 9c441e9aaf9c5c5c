//! Which qubes have which functions, as the toolstack wrote it to xenstore.

use crate::names::{Sbdf, Untrusted};
use crate::system::xen::Xen;
use crate::system::xenstore::Xenstore;

const BACKENDS: &str = "/local/domain/0/backend/pci";
const LIBXL: &str = "/libxl/pci";

/// One node that says a domain has a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Use {
    /// The function.
    pub sbdf: Sbdf,
    /// The domain; a stub domain is replaced by the qube it serves.
    pub domain: u16,
    /// The domain the node names: the qube's stub domain, where it has one.
    pub frontend: u16,
    /// Whether Xen still lists the domain (or its stub domain).
    pub alive: bool,
    /// The name of the qube, where one is written.
    pub qube: Option<Untrusted>,
    /// The xenstore node that says so, escaped.
    pub node: String,
    /// The toolstack's options of the assignment ("permissive=1,...").
    pub options: String,
}

impl Use {
    /// The qube's name for people, or the domain's number.
    #[must_use]
    pub fn who(&self) -> String {
        self.qube.as_ref().map_or_else(|| format!("domain {}", self.domain), ToString::to_string)
    }
}

/// Every such node.
#[derive(Clone, Debug, Default)]
pub struct Uses(Vec<Use>);

impl Uses {
    /// These nodes and no others.
    #[cfg(test)]
    #[must_use]
    pub fn these(uses: Vec<Use>) -> Self {
        Self(uses)
    }

    /// All nodes.
    pub fn iter(&self) -> impl Iterator<Item = &Use> {
        self.0.iter()
    }

    /// The nodes of one function.
    pub fn of(&self, sbdf: Sbdf) -> impl Iterator<Item = &Use> {
        self.0.iter().filter(move |use_| use_.sbdf == sbdf)
    }
}

/// Reads them all. A node that makes no sense is an error: nobody can say then who
/// has what.
pub fn read(store: &mut Xenstore, xen: &Xen) -> Result<Uses, String> {
    let mut reader = Reader { store };
    let mut uses = Vec::new();
    for domain in reader.list(BACKENDS)? {
        let id = number(&domain, BACKENDS)?;
        for device in reader.list(&format!("{BACKENDS}/{domain}"))? {
            let node = format!("{BACKENDS}/{domain}/{device}");
            // The number of functions is not trusted to be right: what is listed counts.
            for name in reader.list(&node)? {
                let Some(index) = name.strip_prefix("dev-") else { continue };
                let node_of_function = format!("{node}/{name}");
                // A node that went meanwhile is no use.
                let Some(text) = reader.text(&node_of_function)? else { continue };
                let sbdf = Sbdf::from_sysfs(&text)
                    .ok_or_else(|| format!("{} names no function", shown(&node_of_function)))?;
                let (qube, served) = reader.qube(id, Some(&format!("{node}/domain")))?;
                let options = reader.text(&format!("{node}/opts-{index}"))?.unwrap_or_default();
                let domains = [id, served];
                uses.push((
                    Use {
                        sbdf,
                        domain: served,
                        frontend: id,
                        alive: true,
                        qube,
                        node: shown(&node_of_function),
                        options,
                    },
                    domains,
                ));
            }
        }
    }
    for key in reader.list(LIBXL)? {
        let node = format!("{LIBXL}/{key}/domid");
        let Some(text) = reader.text(&node)? else { continue };
        let id = number(&text, &node)?;
        let sbdf = function_of_key(&key).ok_or_else(|| format!("{} names no function", shown(&node)))?;
        let (qube, served) = reader.qube(id, None)?;
        let use_ = Use {
            sbdf,
            domain: served,
            frontend: id,
            alive: true,
            qube,
            node: shown(&node),
            options: String::new(),
        };
        uses.push((use_, [id, served]));
    }
    // Asked last: a domain that was made meanwhile counts as alive.
    let domains = xen.domains().map_err(|error| format!("Xen does not list its domains: {error}"))?;
    let alive = |id: &u16| domains.iter().any(|domain| domain.id == *id);
    let settled = uses.into_iter().map(|(use_, ids)| Use { alive: ids.iter().any(alive), ..use_ });
    Ok(Uses(settled.collect()))
}

/// What [`Use::node`] is for this path, where it is a node that says who has a function.
#[must_use]
pub fn node_of_function(path: &[u8]) -> Option<String> {
    let path = std::str::from_utf8(path).ok()?;
    let (folder, name) = path.rsplit_once('/')?;
    let below = |top: &str| folder.strip_prefix(top).is_some_and(|rest| rest.starts_with('/'));
    let says = below(BACKENDS) && name.starts_with("dev-") || below(LIBXL) && name == "domid";
    says.then(|| shown(path))
}

/// A domain that Xen lists, other than dom0.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Live {
    /// The number.
    pub domain: u16,
    /// The name of its qube (of a stub domain: the one it serves), where one is written.
    pub qube: Option<Untrusted>,
}

/// Every such domain: running, paused, shut down or dying.
pub fn live(store: &mut Xenstore, xen: &Xen) -> Result<Vec<Live>, String> {
    let domains = xen.domains().map_err(|error| format!("Xen does not list its domains: {error}"))?;
    let mut reader = Reader { store };
    let others = domains.iter().map(|domain| domain.id).filter(|id| *id != 0);
    others.map(|domain| Ok(Live { domain, qube: reader.qube(domain, None)?.0 })).collect()
}

fn number(text: &str, node: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("{}: `{}` is no domain id", shown(node), shown(text)))
}

fn shown(text: &str) -> String {
    crate::names::escape(text.as_bytes())
}

/// `0000-00-07-0`, as libxl writes it.
fn function_of_key(key: &str) -> Option<Sbdf> {
    let mut parts = key.split('-');
    let mut part = || parts.next();
    let (segment, bus, device, function) = (part()?, part()?, part()?, part()?);
    Sbdf::from_sysfs(&format!("{segment}:{bus}:{device}.{function}"))
}

struct Reader<'a> {
    store: &'a mut Xenstore,
}

impl Reader<'_> {
    fn list(&mut self, path: &str) -> Result<Vec<String>, String> {
        self.store.list(path).map_err(|failure| failure.message)
    }

    fn bytes(&mut self, path: &str) -> Result<Option<Vec<u8>>, String> {
        self.store.read(path).map_err(|failure| failure.message)
    }

    fn text(&mut self, path: &str) -> Result<Option<String>, String> {
        Ok(self.bytes(path)?.map(|value| String::from_utf8_lossy(&value).into_owned()))
    }

    /// The name of a domain's qube; a stub domain (`target`) is its qube's.
    fn qube(&mut self, id: u16, written: Option<&str>) -> Result<(Option<Untrusted>, u16), String> {
        let target = self.text(&format!("/local/domain/{id}/target"))?;
        let served = target.and_then(|text| text.parse().ok()).unwrap_or(id);
        let mut untrusted_name = self.bytes(&format!("/local/domain/{served}/name"))?;
        if let (None, Some(path)) = (&untrusted_name, written) {
            untrusted_name = self.bytes(path)?;
        }
        Ok((untrusted_name.map(|name| Untrusted::new(&name)), served))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_nodes_that_say_who_has_a_function_are_told_from_those_beside_them() {
        let says = ["/local/domain/0/backend/pci/7/0/dev-0", "/libxl/pci/0000-00-07-0/domid"];
        for path in says {
            assert_eq!(node_of_function(path.as_bytes()).as_deref(), Some(path));
        }
        for path in [
            "",
            "dev-0",
            "/local/domain/0/backend/pci",
            "/local/domain/0/backend/pci/7/0",
            "/local/domain/0/backend/pci/7/0/vdev-0",
            "/local/domain/0/backend/pci/7/0/opts-0",
            "/local/domain/0/backend/pcix/7/0/dev-0",
            "/libxl/pci/0000-00-07-0/driver_path",
            "/libxl/7/domid",
            "@releaseDomain",
        ] {
            assert_eq!(node_of_function(path.as_bytes()), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_it_panic_or_act_on_a_terminal(rest in proptest::collection::vec(any::<u8>(), 0..64)) {
            let path = [BACKENDS.as_bytes(), b"/7/0/dev-", &rest].concat();
            let said = node_of_function(&path).unwrap_or_default();
            prop_assert!(!said.chars().any(char::is_control), "{said}");
        }
    }
}
