//! cgroup v2 of a node: what the kubelet and the container runtime write, and what the kernel makes of it.
//!
//! [`name`] has the paths of both drivers, [`cpu`] the conversions of CPU amounts, [`pod`], [`container`] and
//! [`allocatable`] the values per level, [`oom_score`] what the OOM killer is told; [`tree`] has all of it as files.
//!
//! What the kernel does with these values: [`share`] divides CPUs by weight, [`bandwidth`] throttles, [`cpu_model`] is both
//! through time, [`psi`] averages how long somebody waited; [`memory`] reclaims, swaps and kills.
//! [`service`] is what a web service's requests make of all that.
//!
//! Pure functions and state machines: nothing here knows an engine or a cluster. Upstream: pkg/kubelet/cm,
//! pkg/kubelet/kuberuntime, pkg/kubelet/qos; kernel/sched of Linux.

pub mod allocatable;
pub mod bandwidth;
pub mod container;
pub mod cpu;
pub mod cpu_model;
pub mod knobs;
pub mod memory;
pub mod name;
pub mod oom_score;
pub mod pod;
pub mod psi;
pub mod service;
pub mod share;
pub mod tree;
