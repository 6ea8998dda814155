use serde_json::Value;

use super::*;

fn names(pools: &[Pool]) -> Vec<&str> {
    let devices = pools.iter().flat_map(|pool| &pool.slices).flat_map(|slice| &slice.devices);
    devices.map(|device| device["name"].as_str().unwrap_or_default()).collect()
}

fn uuids(driver: &dyn Driver) -> Vec<Value> {
    let pools = driver.pools("n1");
    pools[0].slices[0].devices.iter().map(|d| d["attributes"]["uuid"]["string"].clone()).collect()
}

#[test]
fn gpus_are_numbered_through_all_groups() {
    let groups = vec![GpuGroup::whole(&H100_80GB, 2), GpuGroup::whole(&T4, 1)];
    let driver = Gpus::new(groups, Service::INSTANT);
    let pools = driver.pools("n1");
    assert_eq!(names(&pools), ["gpu-0", "gpu-1", "gpu-2"]);
    let last = &pools[0].slices[0].devices[2];
    assert_eq!(last["attributes"]["productName"]["string"], "Tesla T4");
    assert_eq!(last["attributes"]["resource.kubernetes.io/pcieRoot"]["string"], "pci0000:4c");
    assert_eq!(last["capacity"]["memory"]["value"], "15360Mi");
}

#[test]
fn a_new_gpu_has_another_uuid() {
    let mut driver = Gpus::new(vec![GpuGroup::whole(&H100_80GB, 2)], Service::INSTANT);
    let before = uuids(&driver);
    driver.replaced("gpu-1");
    let after = uuids(&driver);
    assert_eq!(before[0], after[0]);
    assert_ne!(before[1], after[1]);
    driver.replaced("gpu-1");
    assert_ne!(uuids(&driver)[1], after[1]);
}

#[test]
fn failures_are_as_often_as_said() {
    let service = Service { failures: 0.25, ..Service::INSTANT };
    let mut driver = Gpus::new(vec![GpuGroup::whole(&H100_80GB, 1)], service);
    let mut random = sim_core::engine::random::Seed(7).stream("driver");
    let failed = (0..1000).filter(|_| driver.prepare(&Claim::default(), &mut random).result.is_err()).count();
    assert!((200..300).contains(&failed), "{failed}");
}
