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

/// The part of a slice's counters that devices take, by name of counter.
fn taken(slice: &SliceContent, devices: &[&str]) -> std::collections::BTreeMap<String, i64> {
    let mut out = std::collections::BTreeMap::new();
    for device in slice.devices.iter().filter(|d| devices.contains(&d["name"].as_str().unwrap_or_default())) {
        for (name, counter) in device["consumesCounters"][0]["counters"].as_object().into_iter().flatten() {
            let amount: i64 =
                counter["value"].as_str().and_then(|v| v.trim_end_matches("Mi").parse().ok()).unwrap();
            *out.entry(name.clone()).or_default() += amount;
        }
    }
    out
}

#[test]
fn partitions_take_counters_of_their_gpu() {
    let driver = Gpus::new(
        vec![
            GpuGroup::whole(&H100_80GB, 1),
            GpuGroup { product: &H100_80GB, count: 2, sharing: Sharing::Mig },
        ],
        Service::INSTANT,
    );
    let pools = driver.pools("n1");
    let sizes: Vec<usize> = pools[0].slices.iter().map(|s| s.devices.len()).collect();
    assert_eq!(sizes, [1, 26, 26], "one slice of whole GPUs, one of each that is partitioned");
    let slice = &pools[0].slices[1];
    assert_eq!(slice.devices[0]["name"], "gpu-1");
    let all = &slice.shared_counters[0]["counters"];
    let fits = |devices: &[&str]| {
        taken(slice, devices).iter().all(|(name, amount)| {
            let there = all[name]["value"].as_str().and_then(|v| v.trim_end_matches("Mi").parse().ok());
            there.is_some_and(|there: i64| *amount <= there)
        })
    };
    for (devices, want) in [
        (&["gpu-1"][..], true),
        (&["gpu-1", "gpu-1-mig-1g10gb-19-0"], false),
        (&["gpu-1-mig-3g40gb-9-0", "gpu-1-mig-3g40gb-9-4"], true),
        (&["gpu-1-mig-3g40gb-9-0", "gpu-1-mig-4g40gb-5-0"], false),
        (&["gpu-1-mig-4g40gb-5-0", "gpu-1-mig-3g40gb-9-4"], true),
        (&["gpu-1-mig-3g40gb-9-0", "gpu-1-mig-1g20gb-15-4", "gpu-1-mig-1g20gb-15-6"], true),
    ] {
        assert_eq!(fits(devices), want, "{devices:?}");
    }
    assert!(driver.is_part("gpu-1-mig-3g40gb-9-0", "gpu-1") && !driver.is_part("gpu-11", "gpu-1"));
}

#[test]
fn shared_gpus_say_how_they_are_portioned() {
    let of = |sharing| {
        Gpus::new(vec![GpuGroup { product: &H100_80GB, count: 1, sharing }], Service::INSTANT).pools("n1")
    };
    let device = &of(Sharing::TimeSlicing(4))[0].slices[0].devices[0];
    assert_eq!(device["allowMultipleAllocations"], true);
    assert_eq!(device["capacity"]["timeSlices"]["value"], "4");
    assert_eq!(device["capacity"]["memory"]["requestPolicy"]["default"], "0");
    let device = &of(Sharing::Mps(4))[0].slices[0].devices[0];
    assert_eq!(device["capacity"]["threadPercentage"]["requestPolicy"]["default"], "25");
    assert_eq!(device["capacity"]["memory"]["requestPolicy"]["default"], "20389Mi");
}

/// All that the models publish can be read by the allocator.
#[test]
fn what_is_published_can_be_read() {
    let sharings = [Sharing::Exclusive, Sharing::Mig, Sharing::TimeSlicing(4), Sharing::Mps(3)];
    let groups = PRODUCTS
        .into_iter()
        .flat_map(|product| sharings.map(|sharing| GpuGroup { product, count: 1, sharing }));
    let drivers: [Box<dyn Driver>; 3] = [
        Box::new(Gpus::new(groups.collect(), Service::INSTANT)),
        Box::new(Nics::new(10, Service::INSTANT)),
        Box::new(Imex::new(8, Service::INSTANT)),
    ];
    for driver in drivers {
        for pool in driver.pools("n1") {
            assert!(!pool.slices.is_empty());
            for slice in pool.slices {
                assert!(slice.devices.len() <= 128);
                let spec =
                    serde_json::json!({"devices": slice.devices, "sharedCounters": slice.shared_counters});
                let read: crate::api::ResourceSliceSpec = serde_json::from_value(spec).unwrap();
                assert!(
                    read.devices
                        .iter()
                        .all(|d| !d.attributes.is_empty() && d.attributes.len() + d.capacity.len() <= 32)
                );
            }
        }
    }
}
