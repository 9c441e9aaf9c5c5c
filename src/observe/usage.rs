//! Which qubes have which functions, as the toolstack wrote it to xenstore.

use super::Owners;
use crate::names::{Owner, Sbdf, Untrusted};
use crate::system::xen::Xen;
use crate::system::xenstore::Xenstore;
use std::collections::{BTreeMap, BTreeSet};

const BACKENDS: &str = "/local/domain/0/backend/pci";
const LIBXL: &str = "/libxl/pci";
/// What libxl calls the stub domain of a qube: the qube's name and this. Qubes gives no qube such a name.
const STUB: &str = "-dm";
/// How often a node is read while libxl moves functions to other numbers.
const READINGS: usize = 5;

/// One node that says a domain has a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Use {
    /// The function.
    pub sbdf: Sbdf,
    /// The domain; a stub domain is replaced by the qube it serves.
    pub domain: u16,
    /// The domain the node names: the qube's stub domain, where it has one.
    pub frontend: u16,
    /// Whether that was a stub domain whose qube's domain is no longer written: `domain` is the stub's then.
    pub of_lost_stub: bool,
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
pub struct Uses {
    nodes: Vec<Use>,
    /// What the domains are called that own functions in Xen.
    names: BTreeMap<u16, Untrusted>,
}

impl Uses {
    /// These nodes and no others.
    #[cfg(test)]
    #[must_use]
    pub fn these(uses: Vec<Use>) -> Self {
        Self { nodes: uses, names: BTreeMap::new() }
    }

    /// All nodes.
    pub fn iter(&self) -> impl Iterator<Item = &Use> {
        self.nodes.iter()
    }

    /// The nodes of one function.
    pub fn of(&self, sbdf: Sbdf) -> impl Iterator<Item = &Use> {
        self.nodes.iter().filter(move |use_| use_.sbdf == sbdf)
    }

    /// The qube of a domain that owns a function in Xen, where its name is written.
    #[must_use]
    pub fn name(&self, domain: u16) -> Option<&Untrusted> {
        self.names.get(&domain)
    }

    /// Reads what the domains are called that own functions in Xen.
    pub(super) fn name_owners(&mut self, store: &mut Xenstore, owners: &Owners) -> Result<(), String> {
        let mut reader = UseReader { store };
        let ids: BTreeSet<u16> = owners.values().filter_map(domain_of).collect();
        for id in ids {
            let of = reader.qube(id, None)?;
            self.names.extend(of.name.map(|name| (id, name)));
        }
        Ok(())
    }
}

/// Reads them all. A node that makes no sense is an error: nobody can say then who
/// has what.
pub fn read(store: &mut Xenstore, xen: &Xen) -> Result<Uses, String> {
    let mut reader = UseReader { store };
    let mut uses = Vec::new();
    for domain in reader.list(BACKENDS)? {
        let id = number(&domain, BACKENDS)?;
        for device in reader.list(&format!("{BACKENDS}/{domain}"))? {
            reader.backend(id, &format!("{BACKENDS}/{domain}/{device}"), &mut uses)?;
        }
    }
    for key in reader.list(LIBXL)? {
        let node = format!("{LIBXL}/{key}/domid");
        let Some(text) = reader.text(&node)? else { continue };
        let id = number(&text, &node)?;
        let sbdf = function_of_key(&key).ok_or_else(|| format!("{} names no function", shown(&node)))?;
        let of = reader.qube(id, None)?;
        uses.push(of.uses(sbdf, id, shown(&node), String::new()));
    }
    // Asked last: a domain that was made meanwhile counts as alive.
    let domains = xen.domains().map_err(|error| format!("Xen does not list its domains: {error}"))?;
    let alive = |id: u16| domains.iter().any(|domain| domain.id == id);
    let settled = uses.into_iter().map(|one| Use { alive: alive(one.frontend) || alive(one.domain), ..one });
    Ok(Uses { nodes: settled.collect(), names: BTreeMap::new() })
}

/// What Xen alone says: a domain owns a function. A name that cannot be read is not known.
pub fn owned(store: Option<&mut Xenstore>, sbdf: Sbdf, domain: u16) -> Use {
    let of = store.and_then(|store| UseReader { store }.qube(domain, None).ok());
    let of = of.unwrap_or(Of { name: None, domain, of_lost_stub: false });
    of.uses(sbdf, domain, String::new(), String::new())
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
    let mut reader = UseReader { store };
    let others = domains.iter().map(|domain| domain.id).filter(|id| *id != 0);
    others.map(|domain| Ok(Live { domain, qube: reader.qube(domain, None)?.name })).collect()
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

struct UseReader<'a> {
    store: &'a mut Xenstore,
}

impl UseReader<'_> {
    fn list(&mut self, path: &str) -> Result<Vec<String>, String> {
        self.store.list(path).map_err(|failure| failure.message)
    }

    fn bytes(&mut self, path: &str) -> Result<Option<Vec<u8>>, String> {
        self.store.read(path).map_err(|failure| failure.message)
    }

    fn text(&mut self, path: &str) -> Result<Option<String>, String> {
        Ok(self.bytes(path)?.map(|value| String::from_utf8_lossy(&value).into_owned()))
    }

    /// The functions of one backend. libxl moves the rest to other numbers when one is detached: where a
    /// function is named twice, the higher number is still its own.
    fn backend(&mut self, id: u16, node: &str, uses: &mut Vec<Use>) -> Result<(), String> {
        let of = self.qube(id, Some(&format!("{node}/domain")))?;
        let mut found: Vec<(u32, Use)> = Vec::new();
        // The number of functions is not trusted to be right: what is listed counts.
        for name in self.list(node)? {
            let Some(index) = name.strip_prefix("dev-") else { continue };
            let named = format!("{node}/{name}");
            // A node that went meanwhile is no use.
            let Some((text, options)) = self.function(&named, &format!("{node}/opts-{index}"))? else {
                continue;
            };
            let sbdf =
                Sbdf::from_sysfs(&text).ok_or_else(|| format!("{} names no function", shown(&named)))?;
            found.push((index.parse().unwrap_or(0), of.uses(sbdf, id, shown(&named), options)));
        }
        let highest: BTreeMap<Sbdf, u32> = found.iter().fold(BTreeMap::new(), |mut highest, (index, one)| {
            let known = highest.entry(one.sbdf).or_insert(*index);
            *known = (*known).max(*index);
            highest
        });
        uses.extend(found.into_iter().map(|(index, one)| {
            let own = highest.get(&one.sbdf) == Some(&index);
            Use { options: if own { one.options.clone() } else { String::new() }, ..one }
        }));
        Ok(())
    }

    /// The function a node names and the options that stand with it: two nodes, which belong together only
    /// where the first still says the same after the second was read. Else no options are known.
    fn function(&mut self, named: &str, opts: &str) -> Result<Option<(String, String)>, String> {
        let Some(mut text) = self.text(named)? else { return Ok(None) };
        for _ in 0..READINGS {
            let options = self.text(opts)?.unwrap_or_default();
            let Some(again) = self.text(named)? else { return Ok(None) };
            if again == text {
                return Ok(Some((text, options)));
            }
            text = again;
        }
        Ok(Some((text, String::new())))
    }

    /// The name of a domain's qube; a stub domain (`target`) is its qube's. Where the domain's own nodes are
    /// gone, the backend has the name of the stub domain.
    fn qube(&mut self, id: u16, written: Option<&str>) -> Result<Of, String> {
        let target = self.text(&format!("/local/domain/{id}/target"))?;
        let served = target.and_then(|text| text.parse().ok()).unwrap_or(id);
        if let Some(name) = self.bytes(&format!("/local/domain/{served}/name"))? {
            return Ok(Of { name: Some(Untrusted::new(&name)), domain: served, of_lost_stub: false });
        }
        let written = written.map_or(Ok(None), |path| self.bytes(path))?;
        let served_by = written.as_deref().and_then(|name| name.strip_suffix(STUB.as_bytes()));
        let of_stub = served_by.filter(|name| !name.is_empty() && served == id);
        let name = of_stub.or(written.as_deref()).map(Untrusted::new);
        Ok(Of { name, domain: served, of_lost_stub: of_stub.is_some() })
    }
}

fn domain_of(owner: &Owner) -> Option<u16> {
    match owner {
        Owner::Domain(id) => Some(*id),
        Owner::Dom0 | Owner::Quarantine | Owner::Xen => None,
    }
}

/// Whose a domain is.
struct Of {
    name: Option<Untrusted>,
    domain: u16,
    of_lost_stub: bool,
}

impl Of {
    fn uses(&self, sbdf: Sbdf, frontend: u16, node: String, options: String) -> Use {
        let Self { name, domain, of_lost_stub } = self;
        let (qube, domain, of_lost_stub) = (name.clone(), *domain, *of_lost_stub);
        Use { sbdf, domain, frontend, of_lost_stub, alive: true, qube, node, options }
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
