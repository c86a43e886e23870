//! Who gets a call, and who gets it next, without any socket.

mod outliers;

use super::selection::PROBE_INTERVAL;
use super::*;
use crate::call::catalog::FunctionOptions;
use crate::fleet::Took;

/// What members say that they have: each name, and whether it may run twice.
fn having(functions: &[(&str, bool)]) -> Announcement {
    let functions = functions.iter().map(|&(name, idempotent)| {
        let options = FunctionOptions {
            idempotent,
            ..FunctionOptions::default()
        };
        (name.to_owned(), options)
    });
    Announcement {
        functions: functions.collect(),
    }
}

/// A fleet of so many members that can be reached and have `twice`, which is idempotent, and `once`.
fn fleet(members: usize, now: Instant) -> Router {
    let mut router = Router::new(now);
    for member in 0..members {
        router.add(member);
        router.set_reachable(member, true, false);
        router.announce(member, 1, &having(&[("twice", true), ("once", false)]));
    }
    router
}

fn call(router: &mut Router, function: &str) -> Attempt {
    router.on_call();
    Attempt::new(router.find(function), false)
}

fn pick(router: &mut Router, attempt: &mut Attempt, now: Instant) -> Result<usize, NoMember> {
    let (member, ()) = router.pick(attempt, now, || None, |_, _| Some(()))?;
    router.begun(attempt, member);
    Ok(member)
}

const fn on_core(cpu_us: u64) -> Took {
    Took {
        queue_us: 0,
        cpu_us,
    }
}

#[test]
fn members_take_turns_and_those_without_the_function_get_no_call_of_it() {
    let now = Instant::now();
    let mut router = fleet(3, now);
    router.announce(1, 2, &having(&[("other", false)]));
    let mut calls = |function, count| -> Vec<usize> {
        let mut one = || {
            let mut attempt = call(&mut router, function);
            pick(&mut router, &mut attempt, now).unwrap()
        };
        let mut picked: Vec<usize> = (0..count).map(|_| one()).collect();
        picked.sort_unstable();
        picked
    };
    assert_eq!(calls("once", 4), [0, 0, 2, 2]);
    assert_eq!(calls("other", 2), [1, 1]);
}

#[test]
fn a_function_that_nobody_has_is_told_from_one_whose_members_are_gone() {
    let now = Instant::now();
    let mut router = fleet(2, now);
    let mut attempt = call(&mut router, "nobody's");
    assert_eq!(
        pick(&mut router, &mut attempt, now),
        Err(NoMember::NoSuchFunction)
    );
    assert_eq!(router.names(), "once, twice");
    for member in 0..2 {
        router.set_reachable(member, false, false);
    }
    let mut attempt = call(&mut router, "once");
    assert_eq!(
        pick(&mut router, &mut attempt, now),
        Err(NoMember::Unavailable)
    );
    // One that has said nothing may have anything.
    router.add(2);
    router.set_reachable(2, true, false);
    let mut attempt = call(&mut router, "nobody's");
    assert_eq!(pick(&mut router, &mut attempt, now), Ok(2));
    // The only one is taken while it is dialled again, whatever it had.
    let mut router = fleet(1, now);
    router.set_reachable(0, false, true);
    let picked = pick(&mut router, &mut Attempt::new(None, false), now);
    assert_eq!(picked, Ok(0));
}

#[test]
fn a_script_that_goes_through_a_fleet_leaves_no_call_without_a_member() {
    let now = Instant::now();
    let mut router = fleet(3, now);
    for member in 0..3 {
        // As a reload, and as a restart.
        router.announce(member, 2, &having(&[("twice", true), ("new", false)]));
        router.set_reachable(member, false, true);
        for (function, has) in [("twice", true), ("new", member > 0), ("once", member < 2)] {
            let mut attempt = call(&mut router, function);
            let picked = pick(&mut router, &mut attempt, now);
            assert_eq!(
                picked.is_ok_and(|picked| picked != member),
                has,
                "{function}, {member}"
            );
        }
        router.set_reachable(member, true, false);
    }
    let mut attempt = call(&mut router, "once");
    assert_eq!(
        pick(&mut router, &mut attempt, now),
        Err(NoMember::NoSuchFunction)
    );
}

#[test]
fn a_member_that_lost_a_function_is_told_from_one_that_others_have_lost_too() {
    let now = Instant::now();
    let mut router = fleet(2, now);
    let attempt = call(&mut router, "once");
    assert!(router.others_have(&attempt, 0));
    router.announce(0, 2, &having(&[]));
    assert!(router.others_have(&attempt, 0) && !router.others_have(&attempt, 1));
    router.announce(1, 2, &having(&[]));
    assert!(!router.others_have(&attempt, 0));
}

#[test]
fn a_call_that_has_not_run_goes_on_and_one_that_may_have_only_where_it_may_run_twice() {
    let now = Instant::now();
    let mut router = fleet(5, now);
    let mut tries = |function, has_not_run, may_repeat| {
        router.on_call();
        let mut attempt = Attempt::new(router.find(function), may_repeat);
        let mut met = vec![pick(&mut router, &mut attempt, now).unwrap()];
        while router.may_retry(&mut attempt, has_not_run, now) {
            met.push(pick(&mut router, &mut attempt, now).unwrap());
        }
        let count = met.len();
        met.sort_unstable();
        met.dedup();
        assert_eq!(met.len(), count, "twice at the same member");
        count
    };
    assert_eq!(tries("once", true, false), TRIES_MAX);
    assert_eq!(tries("once", false, false), 1);
    assert_eq!(tries("once", false, true), 2);
    // Not through the whole fleet.
    assert_eq!(tries("twice", false, false), 2);
}

#[test]
fn retries_are_bounded_by_the_calls() {
    let now = Instant::now();
    let mut router = fleet(3, now);
    let mut retries = 0;
    for _ in 0..10_000 {
        let mut attempt = call(&mut router, "once");
        pick(&mut router, &mut attempt, now).unwrap();
        retries += u32::from(router.may_retry(&mut attempt, true, now));
    }
    assert!((2000..=2101).contains(&retries), "{retries}");
}

#[test]
fn a_member_that_fails_is_left_out_but_not_so_many_that_few_are_left() {
    let now = Instant::now();
    for (members, most) in [(1, 0), (2, 1), (3, 1), (4, 2), (10, 5)] {
        let mut router = fleet(members, now);
        for _ in 0..members * 20 {
            let mut attempt = call(&mut router, "once");
            let member = pick(&mut router, &mut attempt, now).unwrap();
            router.ended(&attempt, member, Ending::Failed, now);
        }
        assert_eq!(router.ejected.len(), most, "{members}");
    }
}

#[test]
fn one_that_was_left_out_is_tried_by_one_call_and_comes_back() {
    let now = Instant::now();
    let mut router = fleet(2, now);
    let mut left_out = None;
    while left_out.is_none() {
        let mut attempt = call(&mut router, "once");
        let member = pick(&mut router, &mut attempt, now).unwrap();
        let ending = [Ending::Failed, Ending::Worked][member];
        left_out = router.ended(&attempt, member, ending, now);
    }
    let met = |router: &mut Router, now| {
        let mut attempt = call(router, "once");
        (pick(router, &mut attempt, now).unwrap(), attempt)
    };
    assert!((0..10).all(|_| met(&mut router, now).0 == 1));
    let (why, time) = left_out.unwrap();
    assert_eq!(why, Outlier::Failures);
    let back = now + time;
    let (member, probe) = met(&mut router, back);
    assert_eq!(member, 0);
    // One call, until that has ended.
    let meanwhile = back + PROBE_INTERVAL * 3;
    assert!((0..10).all(|_| met(&mut router, meanwhile).0 == 1));
    router.ended(&probe, 0, Ending::Worked, meanwhile);
    let members: Vec<_> = (0..4).map(|_| met(&mut router, back).0).collect();
    assert!(members.contains(&0) && members.contains(&1), "{members:?}");
}

#[test]
fn a_silent_member_gets_calls_only_where_there_is_no_other() {
    let now = Instant::now();
    let mut router = fleet(2, now);
    router.set_silent(0, true);
    for _ in 0..4 {
        let mut attempt = call(&mut router, "once");
        assert_eq!(pick(&mut router, &mut attempt, now), Ok(1));
    }
    router.set_silent(1, true);
    let mut attempt = call(&mut router, "once");
    assert!(pick(&mut router, &mut attempt, now).is_ok());
    router.set_silent(0, false);
    let mut attempt = call(&mut router, "once");
    assert_eq!(pick(&mut router, &mut attempt, now), Ok(0));
}

#[test]
fn who_has_left_is_forgotten_and_its_number_is_free() {
    let now = Instant::now();
    let mut router = fleet(2, now);
    router.announce(1, 1, &having(&[("only here", false)]));
    router.remove(1);
    assert_eq!((router.find("only here"), router.open()), (None, 1));
    assert!(router.find("once").is_some());
    router.add(1);
    router.set_reachable(1, true, false);
    router.announce(1, 1, &having(&[("once", false)]));
    let mut attempt = call(&mut router, "once");
    let mut met = [pick(&mut router, &mut attempt, now).unwrap(), 9];
    met[1] = pick(&mut router, &mut attempt, now).unwrap();
    met.sort_unstable();
    assert_eq!(met, [0, 1]);
}

#[test]
fn least_loaded_leaves_a_slow_member_what_it_can_do_and_counts_calls_back() {
    let begun = Instant::now();
    let mut router = fleet(3, begun);
    router.set_balance(Balance::LeastLoaded);
    // Virtual time: a call each 0.2 ms, which takes 0.3 ms at two members and 9 ms at the first. Each does one at a time.
    let step = Duration::from_micros(200);
    let mut free_at = [begun; 3];
    let mut under_way: Vec<(Instant, Attempt, usize, u64)> = Vec::new();
    let (mut given, mut worst) = ([0_u32; 3], Duration::ZERO);
    for number in 0..50_000_u32 {
        let now = begun + step * number;
        under_way.retain(|(end, attempt, member, took)| {
            if *end <= now {
                router.left(attempt, *member, Some(on_core(*took)), now);
                router.ended(attempt, *member, Ending::Worked, now);
            }
            *end > now
        });
        let mut attempt = call(&mut router, "once");
        let member = pick(&mut router, &mut attempt, now).unwrap();
        given[member] += 1;
        let took = Duration::from_micros([9000, 300, 300][member]);
        free_at[member] = free_at[member].max(now) + took;
        let latency = free_at[member] - now;
        if number > 1000 && member != 0 {
            worst = worst.max(latency);
        }
        under_way.push((free_at[member], attempt, member, latency.as_micros() as u64));
    }
    assert!((1..500).contains(&given[0]), "{given:?}");
    assert!(given[1].abs_diff(given[2]) < 2_500, "{given:?}");
    assert!(worst < Duration::from_millis(5), "{worst:?}");
    let later = begun + Duration::from_secs(1000);
    for (_, attempt, member, took) in under_way {
        router.left(&attempt, member, Some(on_core(took)), later);
    }
    for member in router.members.iter().flatten() {
        assert_eq!(member.load.calls(), 0);
    }
}

#[test]
fn whether_a_call_may_run_twice_is_what_its_member_said_when_it_was_put_there() {
    let now = Instant::now();
    let mut router = fleet(2, now);
    let mut attempt = call(&mut router, "once");
    pick(&mut router, &mut attempt, now).unwrap();
    // Its number is another function's now, which may run twice; and so may what is called as it was.
    for member in 0..2 {
        router.announce(member, 2, &having(&[]));
        router.announce(member, 3, &having(&[("other", true), ("once", true)]));
    }
    assert!(!router.may_retry(&mut attempt, false, now));
}

#[test]
fn a_probe_that_never_ends_and_one_that_was_never_sent_leave_no_member_out_for_good() {
    let now = Instant::now();
    let mut router = fleet(2, now);
    for _ in 0..5 {
        let attempt = Attempt::new(router.find("once"), false);
        router.ended(&attempt, 0, Ending::Failed, now);
    }
    let mut at = now;
    for _ in 0..3 {
        // It is put on it, and nothing is heard of it.
        at += Duration::from_secs(6);
        let mut attempt = call(&mut router, "once");
        assert_eq!(pick(&mut router, &mut attempt, at), Ok(0));
    }
    // Who asks for what nobody has is no probe.
    at += Duration::from_secs(6);
    let mut attempt = call(&mut router, "nobody's");
    let picked = pick(&mut router, &mut attempt, at);
    assert_eq!(picked, Err(NoMember::NoSuchFunction));
    router.remove(0);
    let mut attempt = call(&mut router, "once");
    assert_eq!(pick(&mut router, &mut attempt, at), Ok(1));
    assert_eq!(router.probe_at, None);
}

#[test]
fn a_member_that_is_busy_with_a_function_gets_calls_of_it_where_no_other_takes_them() {
    let now = Instant::now();
    for balance in [Balance::RoundRobin, Balance::LeastLoaded] {
        let mut router = fleet(3, now);
        router.set_balance(balance);
        let refused = call(&mut router, "once");
        let after = Duration::from_millis(100);
        router.set_busy(&refused, 0, after, now);
        let mut met = |function: &str, at: Instant| -> Vec<usize> {
            let mut members: Vec<usize> = (0..6)
                .map(|_| {
                    let mut attempt = call(&mut router, function);
                    pick(&mut router, &mut attempt, at).unwrap()
                })
                .collect();
            members.sort_unstable();
            members.dedup();
            members
        };
        assert_eq!(met("once", now), [1, 2]);
        assert_eq!(met("twice", now), [0, 1, 2]);
        assert_eq!(met("once", now + after), [0, 1, 2]);
        // A first try is put on one of them all the same, and no second.
        (0..3).for_each(|member| router.set_busy(&refused, member, after, now));
        let mut attempt = call(&mut router, "once");
        assert!(pick(&mut router, &mut attempt, now).is_ok());
        let again = pick(&mut router, &mut attempt, now);
        assert_eq!(again, Err(NoMember::Unavailable));
    }
}

#[test]
fn no_more_than_a_share_is_left_out_and_never_all() {
    let now = Instant::now();
    for (members, percent, most) in [
        (1, 100, 0),
        (2, 40, 0),
        (2, 100, 1),
        (3, 50, 1),
        (3, 67, 2),
        (10, 10, 1),
        (10, 0, 0),
        (10, 100, 9),
    ] {
        let mut router = fleet(members, now);
        router.set_max_ejected(percent);
        for _ in 0..members * 20 {
            let mut attempt = call(&mut router, "once");
            let member = pick(&mut router, &mut attempt, now).unwrap();
            router.ended(&attempt, member, Ending::Failed, now);
        }
        assert_eq!(router.ejected(), most, "{members}, {percent} %");
    }
}

#[test]
fn calls_of_a_key_go_to_one_member_and_few_go_elsewhere_when_it_leaves() {
    let now = Instant::now();
    let mut router = fleet(10, now);
    router.set_balance(Balance::Hash);
    let pick = |router: &mut Router, key: Option<u64>, busy: usize| {
        let mut attempt = call(router, "once");
        let usable = |number: usize, _| (number != busy).then_some(());
        router.pick(&mut attempt, now, || key, usable).unwrap().0
    };
    let keys = 0..1000_u64;
    let digest = |key: u64| Some(digest(&key.to_le_bytes()));
    let before: Vec<usize> = keys
        .clone()
        .map(|key| pick(&mut router, digest(key), 99))
        .collect();
    let again = keys.clone().map(|key| pick(&mut router, digest(key), 99));
    assert!(before.iter().copied().eq(again));
    for member in 0..10 {
        let has = before.iter().filter(|picked| **picked == member).count();
        assert!((60..150).contains(&has), "{member}: {has}");
    }
    // One that can take no more, is silent or leaves: its keys go to all the others, and no other key goes anywhere.
    let changes: [fn(&mut Router); 3] = [
        |_| {},
        |router| router.set_silent(3, true),
        |router| router.remove(3),
    ];
    for change in changes {
        change(&mut router);
        let after: Vec<usize> = keys
            .clone()
            .map(|key| pick(&mut router, digest(key), 3))
            .collect();
        let moved = before
            .iter()
            .zip(&after)
            .filter(|(before, after)| before != after);
        assert!(moved.clone().all(|(before, _)| *before == 3));
        assert!(after.iter().all(|member| *member != 3));
        let to: HashSet<usize> = moved.map(|(_, after)| *after).collect();
        assert_eq!(to.len(), 9);
    }
    // Without a key in turn.
    let picked: HashSet<usize> = (0..9).map(|_| pick(&mut router, None, 99)).collect();
    assert_eq!(picked.len(), 9);
}
