//! A kernel while it runs: interrupted, stopped, with arrays that change under it, at the end of its stack.

mod common;

use common::{
    Argument, Returned, capturing, compile, doubles, kernel, number, run, run_with, stack_limit,
};
use madrpc_kernels::{ArgumentKind, Array, Captured, Context, Decision, ElementKind, Slot, Status};
use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// The host of a test: what is left to do before the kernel is stopped, or its array changed.
struct Host {
    turns: u32,
    array: *mut Array,
    then: Array,
}

unsafe extern "C" fn stop_in_time(context: *mut Context) -> Decision {
    // SAFETY: the tests put it there, and nobody else looks.
    let host = unsafe { &mut *(*context).host.cast::<Host>() };
    if host.turns > 0 {
        host.turns -= 1;
        return Decision::GoOn;
    }
    Decision::Stop
}

/// Lets the array become another one at the first interrupt.
unsafe extern "C" fn change(context: *mut Context) -> Decision {
    // SAFETY: as above; the kernel stands still.
    unsafe {
        let host = &mut *(*context).host.cast::<Host>();
        if host.turns > 0 {
            host.turns -= 1;
        } else if !host.array.is_null() {
            (*host.array).data = host.then.data;
            (*host.array).length = host.then.length;
        }
    }
    Decision::GoOn
}

/// Registers are used up by then, and all of them have to be as they were.
unsafe extern "C" fn use_registers(context: *mut Context) -> Decision {
    let numbers = std::hint::black_box([1.5_f64; 32]);
    let sum = numbers
        .iter()
        .fold(0.0_f64, |sum, number| sum.mul_add(1.01, *number).sin());
    std::hint::black_box(sum);
    // SAFETY: the tests put it there.
    unsafe { (*(*context).interrupt).fetch_sub(1, Ordering::Relaxed) };
    Decision::GoOn
}

const ENDLESS: [&str; 6] = [
    "function f(n) { for (;;) n++; }",
    "function f(n) { while (true) {} }",
    "function f(n) { do { n += 2; } while (n > -1); }",
    "function f(n) { let x = 0.5; for (;;) { if (x > 2) continue; x = -x; } }",
    "function f(n) { return f(n); }",
    "function f(n) { return n < 0 ? 0 : f(n + 1) + f(n + 2); }",
];

#[test]
fn an_endless_kernel_is_stopped() {
    for text in ENDLESS {
        let made = kernel(text).unwrap();
        for arguments in [[Argument::Int32(1)], [Argument::Double(1.5)]] {
            let compiled = compile(&made, &arguments).unwrap();
            let mut host = Host {
                turns: 100,
                array: std::ptr::null_mut(),
                then: Array {
                    data: std::ptr::null_mut(),
                    length: 0,
                },
            };
            let flag = AtomicU32::new(1);
            let host_pointer = (&raw mut host).cast::<c_void>();
            let mut context =
                Context::new(&raw const flag, stop_in_time, stack_limit(), host_pointer);
            let found = run_with(&compiled, &arguments, &mut context);
            assert_eq!(found.status, Status::Stopped, "{text}");
            assert_eq!(host.turns, 0, "{text}");
        }
    }
}

#[test]
fn a_flag_that_is_set_from_elsewhere_is_seen() {
    let made = kernel("function f(n) { for (;;) n++; }").unwrap();
    let compiled = compile(&made, &[Argument::Int32(1)]).unwrap();
    let mut host = Host {
        turns: 0,
        array: std::ptr::null_mut(),
        then: Array {
            data: std::ptr::null_mut(),
            length: 0,
        },
    };
    let flag = AtomicU32::new(0);
    let host_pointer = (&raw mut host).cast::<c_void>();
    let mut context = Context::new(&raw const flag, stop_in_time, stack_limit(), host_pointer);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            flag.store(1, Ordering::Relaxed);
        });
        let found = run_with(&compiled, &[Argument::Int32(1)], &mut context);
        assert_eq!(found.status, Status::Stopped);
    });
}

#[test]
fn recursion_without_end_is_an_error_and_not_a_crash() {
    for text in [
        "function f(n) { return f(n + 1) + 1; }",
        "function f(n) { if (n < -1) return 0; return f(n + 1) * f(n + 2); }",
    ] {
        let made = kernel(text).unwrap();
        for arguments in [[Argument::Int32(1)], [Argument::Double(1.5)]] {
            let compiled = compile(&made, &arguments).unwrap();
            for _ in 0..3 {
                let found = run(&compiled, &arguments, 0);
                assert_eq!(found.status, Status::StackOverflow);
            }
        }
    }
    let deep = kernel("function f(n) { return n > 0 ? f(n - 1) + 1 : 0; }").unwrap();
    let compiled = compile(&deep, &[Argument::Int32(1)]).unwrap();
    let found = run(&compiled, &[Argument::Int32(1000)], 5);
    assert_eq!(found.returned, Returned::Number(1000.0));
}

/// A loop that holds more numbers than there are registers gives the same whether it is interrupted or not.
#[test]
fn an_interrupt_changes_no_number() {
    let names: Vec<String> = (0..24).map(|number| format!("v{number}")).collect();
    let mut text = "function f(a, n) { let k = 7; ".to_owned();
    for name in &names {
        text += &format!("let {name} = a[0] + {};", name.len());
    }
    text += "for (let i = 0; i < n; i++) { k = Math.imul(k, 31) ^ i; ";
    for (number, name) in names.iter().enumerate() {
        let other = &names[(number * 7 + 3) % names.len()];
        text += &format!("{name} = {name} * 0.5 + {other} * 0.25 + a[i % 8];");
    }
    text += "} return k";
    for name in &names {
        text += &format!(" + {name}");
    }
    text += "; }";
    let made = kernel(&text).unwrap();
    let array = doubles(&[1.0, 2.0, 3.5, -4.0, 5.25, 6.0, 7.0, 8.0]);
    let arguments = [array, Argument::Int32(500)];
    let compiled = compile(&made, &arguments).unwrap();
    let undisturbed = run(&compiled, &arguments, 0);
    let flag = AtomicU32::new(400);
    let mut context = Context::new(
        &raw const flag,
        use_registers,
        stack_limit(),
        std::ptr::null_mut(),
    );
    let disturbed = run_with(&compiled, &arguments, &mut context);
    assert_eq!(flag.load(Ordering::Relaxed), 0);
    assert_eq!(undisturbed, disturbed);
}

/// After an interrupt, the array is what its host says then: moved, shorter, or gone.
#[test]
fn an_array_may_change_while_the_kernel_stands_still() {
    let text = "function f(a, n) { let s = 0; for (let i = 0; i < n; i++) { s += a[i]; a[i] = -1; } return s; }";
    let made = kernel(text).unwrap();
    let compiled = made
        .specialise(&[
            ArgumentKind::Array(ElementKind::Float64),
            ArgumentKind::Int32,
        ])
        .unwrap();
    let mut first = vec![1.0_f64; 10];
    for (then_length, status) in [
        (10, Status::Done),
        (5, Status::OutOfBounds),
        (0, Status::OutOfBounds),
    ] {
        first.fill(1.0);
        let mut second = vec![100.0_f64; 10];
        let mut array = Array {
            data: first.as_mut_ptr().cast(),
            length: 10,
        };
        let mut host = Host {
            turns: 3,
            array: &raw mut array,
            then: Array {
                data: match then_length {
                    0 => std::ptr::null_mut(),
                    _ => second.as_mut_ptr().cast(),
                },
                length: then_length,
            },
        };
        let flag = AtomicU32::new(1);
        let mut context = Context::new(
            &raw const flag,
            change,
            stack_limit(),
            (&raw mut host).cast(),
        );
        let slots = [
            Slot {
                array: &raw const array,
            },
            Slot { int32: 10 },
        ];
        let mut result = Slot { double: 0.0 };
        // SAFETY: the kinds are those that it was compiled for.
        let ended = unsafe { compiled.call(&raw mut context, slots.as_ptr(), &raw mut result) };
        assert_eq!(ended, status);
        assert_eq!(first[..4], [-1.0, -1.0, -1.0, 1.0]);
        if status == Status::Done {
            // SAFETY: a sum of doubles is a double.
            assert_eq!(unsafe { result.double }, 703.0);
        } else {
            let fault = compiled.fault(&context).unwrap();
            let wanted = match then_length {
                5 => "test.js:1:66: a[5] is out of bounds: the array has 5 elements",
                _ => "test.js:1:66: a[3] is out of bounds: the array has 0 elements",
            };
            assert_eq!(fault.to_string(), wanted);
        }
    }
}

#[test]
fn an_index_that_is_no_place_ends_the_call() {
    for (text, index, wanted) in [
        ("function f(a, i) { return a[i]; }", 4.0, "a[4]"),
        ("function f(a, i) { return a[i]; }", -1.0, "a[-1]"),
        ("function f(a, i) { return a[i]; }", 0.5, "a[0.5]"),
        ("function f(a, i) { return a[i]; }", f64::NAN, "a[NaN]"),
        (
            "function f(a, i) { return a[i]; }",
            f64::INFINITY,
            "a[Infinity]",
        ),
        ("function f(a, i) { return a[i]; }", 1e300, "a[1e+300]"),
        (
            "function f(a, i) { return a[i]; }",
            9.223372036854776e18,
            "a[92233720368547",
        ),
        (
            "function f(a, i) { return a[i]; }",
            -9.223372036854776e18,
            "a[-92233720368547",
        ),
        ("function f(a, i) { a[i] = 1; return 0; }", 4.0, "a[4]"),
        (
            "function f(a, i) { a[i] += 1; return 0; }",
            4294967296.0,
            "a[4294967296]",
        ),
        (
            "function f(a, i) { return a[i * i]; }",
            2147483647.0,
            "a[4611686014132420",
        ),
        ("function f(a, i) { return a[i * i - 2]; }", 1.0, "a[-1]"),
        ("function f(a, i) { return a[i]; }", -1e21, "a[-1e+21]"),
        ("function f(a, i) { return a[i]; }", 5e-324, "a[5e-324]"),
        (
            "function f(a, i) { return a[i]; }",
            0.000_001,
            "a[0.000001]",
        ),
        (
            "function f(a, i) { return a[i]; }",
            1e20,
            "a[100000000000000000000]",
        ),
        ("function f(a, i) { return a[i % 0]; }", 1.0, "a[NaN]"),
        ("function f(a, i) { return a[i / 0]; }", 1.0, "a[Infinity]"),
        (
            "function f(a, i) { return a[i + 4294967292]; }",
            4.0,
            "a[4294967296]",
        ),
        ("function f(a, i) { return a[a.length - i]; }", 0.0, "a[4]"),
    ] {
        let made = kernel(text).unwrap();
        let arguments = [doubles(&[1.0, 2.0, 3.0, 4.0]), number(index)];
        let compiled = compile(&made, &arguments).unwrap();
        let flag = AtomicU32::new(0);
        let mut context = Context::new(
            &raw const flag,
            common::go_on,
            stack_limit(),
            std::ptr::null_mut(),
        );
        let found = run_with(&compiled, &arguments, &mut context);
        assert_eq!(found.status, Status::OutOfBounds, "{text} {index}");
        assert_eq!(found.arguments[0], arguments[0]);
        let fault = compiled.fault(&context).unwrap().to_string();
        assert!(fault.contains(wanted), "{text} {index}: {fault}");
    }
}

/// What a kernel keeps is known to its host: about as much as its text says.
#[test]
fn a_kernel_says_what_it_takes_of_memory() {
    let of = |body: &str| {
        let text = format!("function f(a, b) {{ {body} }}");
        kernel(&text).unwrap().memory_bytes()
    };
    let empty = of("");
    assert!((200..2000).contains(&empty), "{empty}");
    for (part, least) in [
        ("a=b;", 40),
        ("a=b+a*b-a;", 200),
        ("{}", 30),
        ("if(a);else;", 60),
        ("switch(a){case 1:break;default:}", 100),
        ("let a=1;{let a=1;}", 100),
        ("for(;a;a--)b=a;", 200),
        ("b=Math.max(a,b,a);", 150),
    ] {
        let parts = |count| format!("{{{part}}}").repeat(count);
        let more = (of(&parts(90)) - of(&parts(10))) / 80;
        let most = 20 * least;
        assert!((least..most).contains(&more), "{part}: {more} bytes");
    }
}

#[test]
fn kernels_call_captured_kernels() {
    let square = Arc::new(kernel("function square(x) { return x * x; }").unwrap());
    let sum = capturing(
        "function sum(a, from, to) { let s = 0; for (let i = from; i < to; i++) s += square(a[i]); return s; }",
        &[("square", Captured::Kernel(square))],
    );
    let sum = Arc::new(sum.unwrap());
    let halves = "function halves(a, from, to) { if (to - from < 3) return sum(a, from, to) * SCALE; const m = (from + to) >> 1; return halves(a, from, m) + halves(a, m, to); }";
    let halves = capturing(
        halves,
        &[
            ("sum", Captured::Kernel(sum)),
            ("SCALE", Captured::Number(0.5)),
            ("unused", Captured::Boolean(true)),
        ],
    );
    let arguments = [
        doubles(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]),
        Argument::Int32(0),
        Argument::Int32(7),
    ];
    let compiled = compile(&halves.unwrap(), &arguments).unwrap();
    for interrupts in [0, 5] {
        let found = run(&compiled, &arguments, interrupts);
        assert_eq!(found.returned, Returned::Number(70.0));
    }
}

/// Calls that double with each kernel are no loop, and still end when they are to.
#[test]
fn calls_without_a_loop_are_stopped_too() {
    let body = "x = x * 1.5 + 1;".repeat(40);
    let mut last = Arc::new(kernel(&format!("function k0(x) {{ {body} return x; }}")).unwrap());
    for number in 1..40 {
        let text = format!("function k{number}(x) {{ {body} return next(x) + next(x + 1); }}");
        let captured = [("next", Captured::Kernel(last))];
        last = Arc::new(capturing(&text, &captured).unwrap());
    }
    let arguments = [Argument::Double(1.0)];
    let compiled = compile(&last, &arguments).unwrap();
    let mut host = Host {
        turns: 1000,
        array: std::ptr::null_mut(),
        then: Array {
            data: std::ptr::null_mut(),
            length: 0,
        },
    };
    let flag = AtomicU32::new(1);
    let host_pointer = (&raw mut host).cast::<c_void>();
    let mut context = Context::new(&raw const flag, stop_in_time, stack_limit(), host_pointer);
    assert_eq!(
        run_with(&compiled, &arguments, &mut context).status,
        Status::Stopped
    );
}

#[test]
fn a_compiled_kernel_is_shared_by_threads_and_freed_by_the_last() {
    let made = kernel("function f(n) { let s = 0; for (let i = 0; i < n; i++) s += i; return s; }");
    let compiled = compile(&made.unwrap(), &[Argument::Int32(1)]).unwrap();
    let range = compiled.code_range();
    assert_eq!(range.len(), compiled.code_bytes());
    assert!(compiled.memory_bytes() >= compiled.code_bytes());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let compiled = compiled.clone();
            std::thread::spawn(move || run(&compiled, &[Argument::Int32(1000)], 0).returned)
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap(), Returned::Number(499_500.0));
    }
    let mapped = || {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let line = format!("{:x}-", range.start);
        maps.lines()
            .find(|known| known.starts_with(&line))
            .map(str::to_owned)
    };
    let line = mapped().unwrap();
    assert!(
        line.contains(" r-xp ") && line.contains("memfd:madrpc-kernel"),
        "{line}"
    );
    drop(compiled);
    assert!(!mapped().is_some_and(|line| line.contains("madrpc-kernel")));
}

/// What systemd's `MemoryDenyWriteExecute=` sets, by prctl; in a process of its own, as it cannot be taken back.
#[test]
fn it_works_where_memory_is_never_both_writable_and_executable() {
    const CHILD: &str = "MADRPC_KERNELS_MDWE";
    if std::env::var_os(CHILD).is_some() {
        const PR_SET_MDWE: i32 = 65;
        // SAFETY: it forbids this process something.
        if unsafe { libc::prctl(PR_SET_MDWE, 1, 0, 0, 0) } != 0 {
            println!("this kernel has no PR_SET_MDWE");
            return;
        }
        let made = kernel("function add(a, b) { return a + b; }").unwrap();
        let arguments = [number(1.0), number(2.0)];
        let compiled = compile(&made, &arguments).unwrap();
        assert_eq!(
            run(&compiled, &arguments, 0).returned,
            Returned::Number(3.0)
        );
        return;
    }
    let name = "it_works_where_memory_is_never_both_writable_and_executable";
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    assert!(
        child.status.success(),
        "{}",
        String::from_utf8_lossy(&child.stdout)
    );
}

/// A script of a thousand kernels: each is small, and gone when the script is.
#[test]
fn a_thousand_kernels_take_little() {
    let maps = || {
        std::fs::read_to_string("/proc/self/maps")
            .unwrap()
            .lines()
            .count()
    };
    let before = maps();
    let mut all = Vec::new();
    for number in 0..1000 {
        let text = format!(
            "function f(a, n) {{ let s = {number}; for (let i = 0; i < n; i++) s += a[i]; return s; }}"
        );
        let made = kernel(&text).unwrap();
        all.push(compile(&made, &[doubles(&[]), Argument::Int32(1)]).unwrap());
    }
    let bytes: usize = all.iter().map(madrpc_kernels::Compiled::memory_bytes).sum();
    assert!(bytes <= 1000 * 4096, "{bytes}");
    assert!(maps() <= before + 1100);
    drop(all);
    assert!(maps() <= before + 100);
}
