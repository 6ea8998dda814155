//! cgroup v2 of a node: what the kubelet and the container runtime write, and what the kernel makes of it.
//!
//! [`name`] has the paths of both drivers, [`cpu`] the conversions of CPU amounts, [`pod`], [`container`] and
//! [`allocatable`] the values per level, [`oom_score`] what the OOM killer is told; [`tree`] has all of it as files. Pure functions: nothing here knows
//! a clock or a cluster. Upstream: pkg/kubelet/cm, pkg/kubelet/kuberuntime, pkg/kubelet/qos.

pub mod allocatable;
pub mod container;
pub mod cpu;
pub mod knobs;
pub mod name;
pub mod oom_score;
pub mod pod;
pub mod tree;
