//! Decisions to addresses: raise, lower, and see that it is so.

use std::net::IpAddr;
use std::thread::sleep;
use std::time::{SystemTime, UNIX_EPOCH};

use super::called::Called;
use super::failure::Failure;
use super::invocation::Site;
use super::kernel::{Kernel, Placement, interface_name};
use super::ledger::Entry;
use super::listed;
use super::policy::Verdict;
use super::store::{Locked, Store};
use super::subnet::announceable;
use crate::model::Family;

/// A director has said how a service is.
pub(super) fn report(
    called: Called,
    verdict: Verdict,
    site: &Site,
    store: &Store,
) -> Result<(), Failure> {
    check(called.address, site)?;
    let locked = store.lock()?;
    let mut ledger = locked.read()?;
    ledger.note(
        called,
        Entry { verdict, since: now(), interface: site.interface.clone(), policy: site.policy },
    );
    // Where ip_vs cannot be listed nothing is forgotten by itself.
    if let Ok(listed) = listed::services() {
        ledger.forget_gone(called, &listed);
    }
    locked.write(&ledger)?;
    let ended = end_left_holds(site, &locked);
    apply(called.address, ledger.decide(called.address, site.policy), site, store, locked)?;
    ended
}

/// A service is gone and has no say any more.
pub(super) fn forget(called: Called, site: &Site, store: &Store) -> Result<(), Failure> {
    check(called.address, site)?;
    let locked = store.lock()?;
    let ended = end_left_holds(site, &locked);
    let mut ledger = locked.read()?;
    if !ledger.forget(called) {
        return Err(Failure::Unknown { service: called.service.id() });
    }
    locked.write(&ledger)?;
    apply(called.address, ledger.decide(called.address, site.policy), site, store, locked)?;
    ended
}

/// All services that ip_vs does not list are gone. Addresses outside the subnets are left alone.
pub(super) fn forget_all_gone(site: &Site, store: &Store) -> Result<(), Failure> {
    let ended = end_left_holds(site, &store.lock()?);
    let listed = listed::services().map_err(|cause| Failure::NoTable { cause })?;
    let ledger = store.read()?;
    for (address, services) in
        ledger.addresses().filter(|(address, _)| check(*address, site).is_ok())
    {
        for service in services.keys().filter(|service| !listed.contains(service)) {
            match forget(Called { service: *service, address }, site, store) {
                // Another run was quicker.
                Ok(()) | Err(Failure::Unknown { .. }) => {}
                Err(failure) => return Err(failure),
            }
        }
    }
    ended
}

/// Whether an address may be raised here at all.
pub(super) fn check(address: IpAddr, site: &Site) -> Result<(), Failure> {
    if !announceable(address) {
        return Err(Failure::NotAnnounceable(address));
    }
    if !site.subnets.iter().any(|subnet| subnet.contains(address)) {
        return Err(Failure::OutsideSubnets { address, subnets: site.subnets.clone() });
    }
    Ok(())
}

/// Raises or lowers an address; the lock is free while it settles.
pub(super) fn apply(
    address: IpAddr,
    wanted: Verdict,
    site: &Site,
    store: &Store,
    locked: Locked<'_>,
) -> Result<(), Failure> {
    let mut kernel = Kernel::open()?;
    match wanted {
        Verdict::Up => raise(address, site, &mut kernel),
        Verdict::Down if site.settle.is_zero() => lower(address, site, &mut kernel),
        Verdict::Down => lower_and_settle(address, site, store, locked, &mut kernel),
    }
}

pub(super) fn raise(address: IpAddr, site: &Site, kernel: &mut Kernel) -> Result<(), Failure> {
    let name = &site.interface;
    let interface = kernel
        .interface(name)?
        .ok_or_else(|| Failure::NoInterface { interface: name.clone(), address })?;
    if !interface.up {
        return Err(Failure::InterfaceDown { interface: name.clone(), address });
    }
    if own_placement(address, name, interface.index, kernel)?.is_none() {
        kernel.add(address, interface.index)?;
    }
    let found = match own_placement(address, name, interface.index, kernel)? {
        Some(Placement { usable: true, .. }) => return release(address, kernel),
        Some(_) => "duplicate address detection keeps it from being used",
        None => "added, but not listed afterwards",
    };
    Err(Failure::Unverified { address, interface: name.clone(), found })
}

fn lower(address: IpAddr, site: &Site, kernel: &mut Kernel) -> Result<(), Failure> {
    let name = &site.interface;
    // An interface that is gone took its addresses with it.
    if let Some(interface) = kernel.interface(name)? {
        if own_placement(address, name, interface.index, kernel)?.is_some() {
            kernel.remove(address, interface.index)?;
        }
        if own_placement(address, name, interface.index, kernel)?.is_some() {
            return Err(Failure::Unverified {
                address,
                interface: name.clone(),
                found: "removed, but still listed afterwards",
            });
        }
    }
    match kernel.placements(address)?.first() {
        None => Ok(()),
        Some(elsewhere) => Err(Failure::Elsewhere {
            address,
            interface: name.clone(),
            elsewhere: interface_name(elsewhere.index),
        }),
    }
}

/// Lowers the address, so that its route is withdrawn, and goes on taking its packets until routers
/// have heard of it. The lock is free meanwhile: what was decided may change.
fn lower_and_settle(
    address: IpAddr,
    site: &Site,
    store: &Store,
    locked: Locked<'_>,
    kernel: &mut Kernel,
) -> Result<(), Failure> {
    if kernel.placements(address)?.is_empty() {
        return Ok(());
    }
    let loopback = loopback(address, kernel)?;
    // Whatever becomes of this run: as soon as this is gone, the next one ends the hold.
    let settling = locked.settling(address)?;
    kernel.hold(address, loopback)?;
    let lowered = lower(address, site, kernel);
    drop(locked);
    if lowered.is_ok() {
        sleep(site.settle);
    }
    let locked = store.lock()?;
    drop(settling);
    if !locked.is_settling(address)? {
        kernel.release(address, loopback)?;
    }
    lowered
}

/// Ends what runs that were killed while they settled have left. Addresses outside the subnets are
/// left alone: they are another site's, with a state of its own.
fn end_left_holds(site: &Site, locked: &Locked<'_>) -> Result<(), Failure> {
    for family in [Family::Inet, Family::Inet6] {
        if !site.subnets.iter().any(|subnet| subnet.family() == family) {
            continue;
        }
        for address in Kernel::held(family)? {
            if check(address, site).is_ok() && !locked.is_settling(address)? {
                release(address, &mut Kernel::open()?)?;
            }
        }
    }
    Ok(())
}

/// The address on the interface, if it is there and this program's to remove.
fn own_placement(
    address: IpAddr,
    name: &str,
    index: u32,
    kernel: &mut Kernel,
) -> Result<Option<Placement>, Failure> {
    let placements = kernel.placements(address)?;
    let Some(placement) = placements.into_iter().find(|placement| placement.index == index) else {
        return Ok(None);
    };
    if !placement.alone {
        return Err(Failure::Foreign {
            address,
            interface: name.to_owned(),
            prefix_length: placement.prefix_length,
        });
    }
    Ok(Some(placement))
}

fn release(address: IpAddr, kernel: &mut Kernel) -> Result<(), Failure> {
    let loopback = loopback(address, kernel)?;
    kernel.release(address, loopback)
}

fn loopback(address: IpAddr, kernel: &mut Kernel) -> Result<u32, Failure> {
    kernel
        .interface("lo")?
        .map(|interface| interface.index)
        .ok_or_else(|| Failure::NoInterface { interface: "lo".to_owned(), address })
}

/// Seconds since 1970.
fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|elapsed| i64::try_from(elapsed.as_secs()).ok())
        .unwrap_or(0)
}
