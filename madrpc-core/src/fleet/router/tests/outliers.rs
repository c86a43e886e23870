//! Who is left out for a while, and why.

use super::*;
use crate::fleet::SWEEP_INTERVAL;

/// Calls in turn, each of which ends so and takes so long, by its member and its number.
fn serve(
    router: &mut Router,
    calls: usize,
    now: Instant,
    how: impl Fn(usize, usize) -> (Ending, u64),
) {
    for number in 0..calls {
        let mut attempt = call(router, "once");
        let member = pick(router, &mut attempt, now).unwrap();
        let (ending, took) = how(member, number);
        let took = (ending == Ending::Worked).then(|| on_core(took));
        router.left(&attempt, member, took, now);
        router.ended(&attempt, member, ending, now);
    }
}

#[test]
fn one_that_refuses_more_than_the_others_is_left_out_and_a_fleet_that_does_is_not() {
    let now = Instant::now();
    let refuses = |one_in: usize| move |number: usize| number.is_multiple_of(one_in);
    for (members, found) in [(6, 1), (4, 0)] {
        let mut router = fleet(members, now);
        serve(&mut router, 600, now, |member, number| match member {
            0 if refuses(4)(number / members) => (Ending::Refused, 0),
            _ => (Ending::Worked, 1000),
        });
        let swept = router.sweep(now);
        assert_eq!(swept.len(), found, "{members}");
        assert!(
            swept
                .iter()
                .all(|(member, why, _)| (*member, *why) == (0, Outlier::Rate))
        );
    }
    let mut router = fleet(6, now);
    serve(&mut router, 600, now, |_, number| {
        match refuses(3)(number / 6) {
            true => (Ending::Refused, 0),
            false => (Ending::Worked, 1000),
        }
    });
    assert_eq!(router.sweep(now), []);
}

#[test]
fn one_that_is_far_slower_is_left_out_until_a_probe_is_not() {
    let mut now = Instant::now();
    let mut router = fleet(4, now);
    let slow = |member, _| (Ending::Worked, [60_000, 2000, 2000, 2000][member]);
    serve(&mut router, 4000, now, slow);
    let swept = router.sweep(now);
    assert!(matches!(swept[..], [(0, Outlier::Slow, _)]), "{swept:?}");
    serve(&mut router, 2000, now, slow);
    // It is slow yet: the call that tries it has it left out for longer.
    now += SWEEP_INTERVAL;
    serve(&mut router, 20, now, slow);
    assert_eq!(router.ejected(), 1);
    now += SWEEP_INTERVAL * 2;
    serve(&mut router, 20, now, |_, _| (Ending::Worked, 2000));
    assert_eq!(router.ejected(), 0);
    assert_eq!(router.sweep(now), []);
}

#[test]
fn why_a_member_is_left_out_is_known_also_after_its_probe() {
    let mut now = Instant::now();
    let mut router = fleet(4, now);
    let why = |router: &Router| router.why_ejected(0).map(|(_, why)| why);
    let slow = |member, _| (Ending::Worked, [60_000, 2000, 2000, 2000][member]);
    serve(&mut router, 4000, now, slow);
    router.sweep(now);
    assert_eq!(why(&router), Some(Outlier::Slow));
    now += SWEEP_INTERVAL;
    serve(&mut router, 20, now, slow);
    assert_eq!(why(&router), Some(Outlier::Slow));
    now += SWEEP_INTERVAL * 2;
    let fails = |member, _| match member {
        0 => (Ending::Failed, 0),
        _ => (Ending::Worked, 2000),
    };
    serve(&mut router, 20, now, fails);
    assert_eq!(why(&router), Some(Outlier::Probe));
    now += SWEEP_INTERVAL * 4;
    serve(&mut router, 20, now, |_, _| (Ending::Worked, 2000));
    assert_eq!(why(&router), None);
    serve(&mut router, 40, now, fails);
    assert_eq!(why(&router), Some(Outlier::Failures));
}
