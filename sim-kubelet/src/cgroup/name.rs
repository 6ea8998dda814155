//! Names of cgroups, and their paths under both drivers (pkg/kubelet/cm/cgroup_manager_linux.go).

use smol_str::SmolStr;

/// What systemd names end with.
const SLICE: &str = ".slice";

/// `cgroupDriver`: how a name becomes a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Driver {
    /// Slices that repeat their parents' names, scopes for containers.
    #[default]
    Systemd,
    /// Plain folders.
    Cgroupfs,
}

/// Why a text cannot be a part of a name: `-` becomes `_` under systemd, so `_` would not come back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid character in component [{0:?}] of CgroupName")]
pub struct InvalidComponent(pub SmolStr);

/// The kubelet's own name of a cgroup: its parts from the root down. The root itself has none.
///
/// ```
/// use sim_kubelet::cgroup::name::CgroupName;
/// let name = CgroupName::new(["kubepods", "burstable", "pod1234-abcd"])?;
/// let slice = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1234_abcd.slice";
/// assert_eq!(name.to_systemd(), slice);
/// assert_eq!(name.to_cgroupfs(), "/kubepods/burstable/pod1234-abcd");
/// assert_eq!(CgroupName::parse_systemd(slice), name);
/// # Ok::<(), sim_kubelet::cgroup::name::InvalidComponent>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct CgroupName(Vec<SmolStr>);

impl CgroupName {
    /// A name of its parts. Empty parts are left out.
    ///
    /// # Errors
    /// If a part has a `/` or a `_` in it.
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a str>) -> Result<CgroupName, InvalidComponent> {
        CgroupName::default().join(parts)
    }

    /// The name of something below.
    ///
    /// # Errors
    /// As [`CgroupName::new`].
    pub fn join<'a>(&self, parts: impl IntoIterator<Item = &'a str>) -> Result<CgroupName, InvalidComponent> {
        let mut all = self.0.clone();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            if part.contains(['/', '_']) {
                return Err(InvalidComponent(part.into()));
            }
            all.push(part.into());
        }
        Ok(CgroupName(all))
    }

    /// Its parts, from the root down.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(SmolStr::as_str)
    }

    /// The path under a driver.
    pub fn path(&self, driver: Driver) -> String {
        match driver {
            Driver::Systemd => self.to_systemd(),
            Driver::Cgroupfs => self.to_cgroupfs(),
        }
    }

    /// The path under the systemd driver: every slice is named after all its parents.
    pub fn to_systemd(&self) -> String {
        let mut path = String::new();
        let mut slice = String::new();
        for part in &self.0 {
            if !slice.is_empty() {
                slice.push('-');
            }
            slice.push_str(&part.replace('-', "_"));
            path.push('/');
            path.push_str(&slice);
            path.push_str(SLICE);
        }
        if path.is_empty() { "/".to_string() } else { path }
    }

    /// The path under the cgroupfs driver.
    pub fn to_cgroupfs(&self) -> String {
        format!("/{}", self.0.join("/"))
    }

    /// Reads a path of the systemd driver: only its last part counts, which names all the others.
    pub fn parse_systemd(path: &str) -> CgroupName {
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let last = last.strip_suffix(SLICE).unwrap_or(last);
        let parts = last.split('-').filter(|part| !part.is_empty());
        CgroupName(parts.map(|part| part.replace('_', "-").into()).collect())
    }

    /// Reads a path of the cgroupfs driver.
    pub fn parse_cgroupfs(path: &str) -> CgroupName {
        CgroupName(path.split('/').filter(|part| !part.is_empty()).map(SmolStr::new).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_both_drivers_and_back() {
        for (parts, systemd, cgroupfs) in [
            (&[][..], "/", "/"),
            (&["kubepods"], "/kubepods.slice", "/kubepods"),
            (
                &["kubepods", "besteffort", "pod0-1"],
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod0_1.slice",
                "/kubepods/besteffort/pod0-1",
            ),
        ] {
            let name = CgroupName::new(parts.iter().copied()).unwrap();
            assert_eq!(name.path(Driver::Systemd), systemd);
            assert_eq!(name.path(Driver::Cgroupfs), cgroupfs);
            assert_eq!(CgroupName::parse_systemd(systemd), name);
            assert_eq!(CgroupName::parse_cgroupfs(cgroupfs), name);
        }
    }

    #[test]
    fn parts_that_would_not_come_back_are_refused() {
        for bad in ["a_b", "a/b"] {
            let error = CgroupName::new([bad]).unwrap_err();
            assert_eq!(error.to_string(), format!("invalid character in component [{bad:?}] of CgroupName"));
        }
        assert_eq!(CgroupName::new([""]).unwrap(), CgroupName::default());
    }
}
