//! The functions of `Math`. What has to equal the engine's to the last bit is computed by the functions of the C library that
//! QuickJS calls; what has one right result only is compiled in place.

use std::ffi::c_double;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Function {
    Abs,
    Ceil,
    Floor,
    Trunc,
    Round,
    Sqrt,
    Sign,
    Min,
    Max,
    Hypot,
    Imul,
    Clz32,
    Fround,
    F16round,
    /// A function of one number.
    Library1(Library1),
    /// A function of two numbers.
    Library2(Library2),
}

pub(crate) type Library1 = unsafe extern "C" fn(c_double) -> c_double;
pub(crate) type Library2 = unsafe extern "C" fn(c_double, c_double) -> c_double;

unsafe extern "C" {
    fn acos(x: c_double) -> c_double;
    fn acosh(x: c_double) -> c_double;
    fn asin(x: c_double) -> c_double;
    fn asinh(x: c_double) -> c_double;
    fn atan(x: c_double) -> c_double;
    fn atan2(y: c_double, x: c_double) -> c_double;
    fn atanh(x: c_double) -> c_double;
    fn cbrt(x: c_double) -> c_double;
    fn cos(x: c_double) -> c_double;
    fn cosh(x: c_double) -> c_double;
    fn exp(x: c_double) -> c_double;
    fn expm1(x: c_double) -> c_double;
    fn fmod(x: c_double, y: c_double) -> c_double;
    fn hypot(x: c_double, y: c_double) -> c_double;
    fn log(x: c_double) -> c_double;
    fn log10(x: c_double) -> c_double;
    fn log1p(x: c_double) -> c_double;
    fn log2(x: c_double) -> c_double;
    fn pow(x: c_double, y: c_double) -> c_double;
    fn sin(x: c_double) -> c_double;
    fn sinh(x: c_double) -> c_double;
    fn tan(x: c_double) -> c_double;
    fn tanh(x: c_double) -> c_double;
}

/// The function of this name, and the least and the most arguments that it has; more would be ignored by JavaScript, fewer
/// would be NaN: neither is what anybody wants.
pub(crate) fn function(name: &str) -> Option<(Function, usize, usize)> {
    let many = usize::MAX;
    Some(match name {
        "abs" => (Function::Abs, 1, 1),
        "ceil" => (Function::Ceil, 1, 1),
        "floor" => (Function::Floor, 1, 1),
        "trunc" => (Function::Trunc, 1, 1),
        "round" => (Function::Round, 1, 1),
        "sqrt" => (Function::Sqrt, 1, 1),
        "sign" => (Function::Sign, 1, 1),
        "min" => (Function::Min, 0, many),
        "max" => (Function::Max, 0, many),
        "hypot" => (Function::Hypot, 0, many),
        "imul" => (Function::Imul, 2, 2),
        "clz32" => (Function::Clz32, 1, 1),
        "fround" => (Function::Fround, 1, 1),
        "f16round" => (Function::F16round, 1, 1),
        "atan2" => (Function::Library2(atan2), 2, 2),
        "pow" => (Function::Library2(power), 2, 2),
        _ => (Function::Library1(of_one(name)?), 1, 1),
    })
}

fn of_one(name: &str) -> Option<Library1> {
    Some(match name {
        "acos" => acos,
        "acosh" => acosh,
        "asin" => asin,
        "asinh" => asinh,
        "atan" => atan,
        "atanh" => atanh,
        "cbrt" => cbrt,
        "cos" => cos,
        "cosh" => cosh,
        "exp" => exp,
        "expm1" => expm1,
        "log" => log,
        "log10" => log10,
        "log1p" => log1p,
        "log2" => log2,
        "sin" => sin,
        "sinh" => sinh,
        "tan" => tan,
        "tanh" => tanh,
        _ => return None,
    })
}

/// A constant of `Math`.
pub(crate) fn constant(name: &str) -> Option<f64> {
    use std::f64::consts;
    Some(match name {
        "E" => consts::E,
        "LN10" => consts::LN_10,
        "LN2" => consts::LN_2,
        "LOG10E" => consts::LOG10_E,
        "LOG2E" => consts::LOG2_E,
        "PI" => consts::PI,
        "SQRT1_2" => consts::FRAC_1_SQRT_2,
        "SQRT2" => consts::SQRT_2,
        _ => return None,
    })
}

/// `x ** y`: C's `pow`, but for 1 and -1 to the power of what is not finite.
pub(crate) unsafe extern "C" fn power(x: c_double, y: c_double) -> c_double {
    if !y.is_finite() && x.abs() == 1.0 {
        return f64::NAN;
    }
    // SAFETY: it takes any numbers.
    unsafe { pow(x, y) }
}

/// `x % y`: C's `fmod`, which has one right result. Whole numbers are divided as such, a few times as fast.
pub(crate) unsafe extern "C" fn remainder(x: c_double, y: c_double) -> c_double {
    const WHOLE: f64 = (1_i64 << 53) as f64;
    // The least number is 1: what is smaller divides by zero, or is no whole number.
    if x.abs() < WHOLE && y.abs() < WHOLE {
        let (a, b) = (x as i64, y as i64);
        if b != 0 && a as f64 == x && b as f64 == y {
            let rest = (a % b) as f64;
            return rest.copysign(x);
        }
    }
    // SAFETY: it takes any numbers.
    unsafe { fmod(x, y) }
}

/// C's `hypot`, by which `Math.hypot` goes through its arguments.
pub(crate) unsafe extern "C" fn hypotenuse(x: c_double, y: c_double) -> c_double {
    // SAFETY: it takes any numbers.
    unsafe { hypot(x, y) }
}

/// The number that the bits of a `Float16Array` stand for.
pub(crate) unsafe extern "C" fn from_half(bits: u32) -> c_double {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let exponent = ((bits >> 10) & 0x1f) as i32;
    let fraction = f64::from(bits & 0x3ff) / 1024.0;
    let size = match exponent {
        0 => fraction * 2f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2f64.powi(exponent - 15),
    };
    size * sign
}

/// The bits of the nearest number that a `Float16Array` can hold; of two as near, the one whose last bit is 0.
pub(crate) unsafe extern "C" fn to_half(value: c_double) -> u32 {
    let sign = if value.is_sign_negative() { 0x8000 } else { 0 };
    let size = value.abs();
    // The bits that QuickJS writes.
    if size.is_nan() {
        return sign | 0x7c01;
    }
    // Half of a step above the greatest of them.
    if size >= 65520.0 {
        return sign | 0x7c00;
    }
    // What is added and taken off again leaves the number rounded to steps of 2^-24, or to 11 bits.
    let exponent = ((size.to_bits() >> 52) as i32 - 1023).max(-14);
    let step = 2f64.powi(exponent - 10);
    let steps = (size / step).round_ties_even() as u32;
    // The lowest exponent but one begins at 1024 steps, and each further has as many: a carry goes where it should.
    sign | ((((exponent + 14) as u32) << 10) + steps)
}
