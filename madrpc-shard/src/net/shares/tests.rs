use super::*;

const MS: Duration = Duration::from_millis(1);

/// Sessions of certificates by these numbers.
fn of(certificates: &[u8]) -> Shares {
    let mut shares = Shares::default();
    for (place, certificate) in certificates.iter().enumerate() {
        shares.open(place, [*certificate; 32], Some(Role::Client));
    }
    shares
}

/// Something for the caller of this session took so long.
fn charge(shares: &mut Shares, session: usize, time: Duration, now: Instant) {
    let account = shares.caller(session, None, now);
    shares.charge(account, time, now);
}

/// Longer than what makes one ahead.
const LONG: Duration = Duration::from_nanos(2 * ALLOWANCE);

#[test]
fn each_pays_for_what_is_done_for_him_until_the_next_one_or_none() {
    let (mut shares, begun) = (of(&[1, 2, 3]), Instant::now());
    (0..3).for_each(|place| shares.work_for_at(place, begun));
    shares.rest_at(begun);
    shares.work_for_at(1, begun + LONG);
    // Again for the same, at whatever time.
    shares.work_for(1);
    shares.work_for_at(0, begun + 2 * LONG);
    shares.rest_at(begun + 2 * LONG);
    let ahead = [0, 1, 2].map(|at| shares.is_session_ahead(at));
    assert_eq!(ahead, [false, true, false]);
    // Whoever leaves meanwhile pays nothing, nor does who comes to his place.
    shares.work_for_at(2, begun + 2 * LONG);
    shares.close(2);
    shares.open(2, [3; 32], Some(Role::Client));
    shares.rest_at(begun + 3 * LONG);
    assert!(!shares.is_session_ahead(2));
}

#[test]
fn one_who_is_alone_may_have_all() {
    let (mut shares, now) = (of(&[1]), Instant::now());
    for _ in 0..1000 {
        charge(&mut shares, 0, MS, now);
        assert!(!shares.is_session_ahead(0));
    }
    assert!(!shares.is_session_ahead(7), "nobody is there");
}

#[test]
fn who_has_more_than_his_part_is_ahead_until_the_others_have_had_theirs() {
    for certificates in [[1, 2], [1, 1]] {
        let (mut shares, now) = (of(&certificates), Instant::now());
        charge(&mut shares, 1, MS / 10, now);
        for _ in 0..1000 {
            charge(&mut shares, 0, MS, now);
        }
        assert!(shares.is_session_ahead(0) && !shares.is_session_ahead(1));
        // What nobody else wanted is not counted for long.
        let mut had = Duration::ZERO;
        while shares.is_session_ahead(0) {
            charge(&mut shares, 1, MS / 10, now);
            had += MS / 10;
        }
        assert!((8 * MS..40 * MS).contains(&had), "{had:?}");
    }
}

#[test]
fn who_wants_little_is_never_ahead_and_saves_up_little() {
    let (mut shares, now) = (of(&[1, 2]), Instant::now());
    for _ in 0..1000 {
        charge(&mut shares, 0, MS, now);
        charge(&mut shares, 1, MS / 100, now);
        assert!(!shares.is_session_ahead(1));
    }
    let mut had = Duration::ZERO;
    while !shares.is_session_ahead(1) {
        charge(&mut shares, 1, MS, now);
        had += MS;
    }
    assert!(had <= 30 * MS, "{had:?}");
}

#[test]
fn equals_are_not_ahead_of_each_other() {
    let (mut shares, now) = (of(&[1, 1, 1, 2, 3]), Instant::now());
    for _ in 0..1000 {
        for place in 0..5 {
            let part = if place < 3 { 1 } else { 3 };
            charge(&mut shares, place, MS * part / 10, now);
            assert!(!shares.is_session_ahead(place), "{place}");
        }
    }
}

#[test]
fn many_sessions_of_a_certificate_have_the_part_of_one() {
    let mut certificates = [1; 101];
    certificates[100] = 2;
    let (mut shares, now) = (of(&certificates), Instant::now());
    for _ in 0..100 {
        for place in 0..100 {
            charge(&mut shares, place, MS / 100, now);
        }
        charge(&mut shares, 100, MS / 2, now);
    }
    assert!((0..100).all(|place| shares.is_session_ahead(place)));
    assert!(!shares.is_session_ahead(100));
}

#[test]
fn who_wants_nothing_for_a_while_is_not_there() {
    let (mut shares, now) = (of(&[1, 2]), Instant::now());
    charge(&mut shares, 1, MS, now);
    for ms in 0..90 {
        charge(&mut shares, 0, MS, now + ms * MS);
    }
    shares.look(now + 90 * MS);
    assert!(shares.is_session_ahead(0));
    shares.look(now + 101 * MS);
    assert!(!shares.is_session_ahead(0), "it is alone");
    assert_eq!((shares.callers.present, shares.looks.len()), (1, 1));
    shares.look(now + 300 * MS);
    assert_eq!((shares.callers.present, shares.looks.len()), (0, 0));
}

#[test]
fn sessions_that_come_and_go_leave_nothing() {
    let (mut shares, now) = (Shares::default(), Instant::now());
    for round in 0..1000 {
        let at = now + round * MS;
        shares.open(0, [1; 32], Some(Role::Client));
        charge(&mut shares, 0, MS, at);
        shares.close(0);
        shares.look(at);
        assert!(shares.looks.len() <= 101, "{}", shares.looks.len());
    }
    shares.close(0);
    assert!(shares.groups.is_empty() && shares.by_certificate.is_empty());
    assert_eq!(shares.callers.present, 0);
}

/// A session of an orchestrator at place 0, and one of its callers' each at the places from 1 on.
fn behind_an_orchestrator(certificates: &[u8]) -> Shares {
    let mut shares = Shares::default();
    shares.open(0, [255; 32], Some(Role::Orchestrator));
    for (index, certificate) in certificates.iter().enumerate() {
        shares.open(index + 1, [*certificate; 32], Some(Role::Client));
    }
    shares
}

fn account(certificate: u8, session: u32) -> Account {
    Account {
        certificate: u32::from_be_bytes([certificate; 4]),
        session,
        root: None,
    }
}

#[test]
fn callers_behind_an_orchestrator_have_parts_as_if_they_were_here() {
    let now = Instant::now();
    let mut shares = behind_an_orchestrator(&[3]);
    let mut guest = |certificate, session| {
        let account = account(certificate, session);
        shares.caller(0, Some(account), now)
    };
    let [greedy, again, modest, other] = [guest(1, 5), guest(1, 5), guest(2, 5), guest(1, 6)];
    assert_eq!(greedy, again);
    assert!(greedy != modest && greedy != other);
    let own = shares.caller(1, None, now);
    for caller in [modest, own, other] {
        shares.charge(caller, MS / 10, now);
    }
    (0..1000).for_each(|_| shares.charge(greedy, MS, now));
    // The other session is of the same certificate, which has had more than its part.
    let ahead = [greedy, modest, own, other].map(|caller| shares.is_ahead(caller));
    assert_eq!(ahead, [true, false, false, true]);
    assert!(!shares.is_session_ahead(0));
}

#[test]
fn a_certificate_has_one_part_whichever_way_its_calls_come() {
    let now = Instant::now();
    let mut shares = behind_an_orchestrator(&[1, 2]);
    let guest = shares.caller(0, Some(account(1, 5)), now);
    charge(&mut shares, 2, MS / 10, now);
    charge(&mut shares, 1, MS / 10, now);
    (0..1000).for_each(|_| shares.charge(guest, MS, now));
    let ahead = [1, 2].map(|session| shares.is_session_ahead(session));
    assert_eq!(ahead, [true, false]);
}

#[test]
fn only_orchestrators_and_nodes_are_believed_whose_calls_they_pass_on() {
    let now = Instant::now();
    let mut shares = Shares::default();
    let roles = [
        Some(Role::Client),
        None,
        Some(Role::Node),
        Some(Role::Orchestrator),
    ];
    let passed_on = account(9, 9);
    for (session, role) in roles.into_iter().enumerate() {
        shares.open(session, [session as u8; 32], role);
        let is_believed = session >= 2;
        let own = shares.caller(session, None, now);
        let caller = shares.caller(session, Some(passed_on), now);
        assert_eq!(caller != own, is_believed, "{session}");
        let origin = shares.origin(session, Some(passed_on)).unwrap();
        let expected = match is_believed {
            true => passed_on,
            false => account(session as u8, session as u32),
        };
        assert_eq!(
            (origin, shares.passed_on_as(caller)),
            (expected, Some(expected))
        );
    }
    assert_eq!(shares.caller(77, Some(passed_on), now), AccountKey::NOBODY);
}

#[test]
fn each_guest_pays_for_his_own_calls_and_nobody_for_the_orchestrators_datagrams() {
    let begun = Instant::now();
    let mut shares = behind_an_orchestrator(&[]);
    let [first, second] = [1, 2].map(|at| shares.caller(0, Some(account(at, 1)), begun));
    for caller in [first, second] {
        shares.charge(caller, MS / 10, begun);
    }
    shares.work_for_at(0, begun);
    shares.work_for_guest(first, begun + LONG);
    shares.work_for_guest(second, begun + 4 * LONG);
    shares.work_for(0);
    shares.rest_at(begun + 4 * LONG);
    let own = shares.caller(0, None, begun);
    let ahead = [own, first, second].map(|caller| shares.is_ahead(caller));
    assert_eq!(ahead, [false, true, false]);
}

#[test]
fn guests_are_forgotten_once_nothing_is_left_of_them_and_are_bounded() {
    let begun = Instant::now();
    let mut shares = behind_an_orchestrator(&[]);
    let own = shares.caller(0, None, begun);
    let guest = |shares: &mut Shares, certificate: u32, session| {
        let account = Account {
            certificate,
            session,
            root: None,
        };
        shares.caller(0, Some(account), begun)
    };
    // One certificate with very many sessions: from half of all places on they have one together.
    let busy = guest(&mut shares, 0, 0);
    let half = GUESTS_MAX as u32 / 2;
    let many: Vec<_> = (0..half)
        .map(|session| guest(&mut shares, 0, session))
        .collect();
    assert_eq!(many[0], busy);
    let further = guest(&mut shares, 0, half);
    assert!(further != own && !many.contains(&further));
    assert_eq!(guest(&mut shares, 0, half + 1), further);
    // Others have places of their own, as long as there are any.
    let others: Vec<_> = (1..half)
        .map(|certificate| guest(&mut shares, certificate, 0))
        .collect();
    assert_eq!(shares.guests.len(), GUESTS_MAX);
    assert!(!others.contains(&further) && !others.contains(&own));
    assert_eq!(
        guest(&mut shares, 1, 9),
        others[0],
        "one for the certificate"
    );
    assert_eq!(guest(&mut shares, half, 0), own);
    let looks = GUESTS_MAX / GUEST_LOOKS;
    let recently = begun + GUEST_MEMORY / 2;
    (0..looks).for_each(|_| shares.forget_guests(recently, |_| false));
    assert_eq!(shares.guests.len(), GUESTS_MAX);
    let late = begun + GUEST_MEMORY;
    (0..looks).for_each(|_| shares.forget_guests(late, |guest| guest == busy));
    assert_eq!((shares.guests.len(), shares.accounts.len()), (1, 2));
    assert_eq!(guest(&mut shares, 0, 0), busy);
    // Also those whose orchestrator has left.
    shares.close(0);
    shares.forget_guests(late, |_| false);
    assert!(shares.accounts.is_empty() && shares.groups.is_empty());
    assert!(shares.guests.is_empty() && shares.guest_looks.is_empty());
}
