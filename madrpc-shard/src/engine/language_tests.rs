//! That methods with "locale" in their names say what Node.js says, or that they cannot. `tests/packages.rs` compares more.

use super::tests::check;

#[test]
fn what_depends_on_the_language_is_as_in_node_or_refused() {
    check(
        "eq([0, -0, 1.0005, 1234567.891, 1e21, -999.9995, 0.1 + 0.2, 5e-324].map((n) => n.toLocaleString()), ['0', '-0', '1.001', '1,234,567.891', '1,000,000,000,000,000,000,000', '-1,000', '0.3', '0']);
         eq([NaN, -Infinity].map((n) => n.toLocaleString('en-US')), ['NaN', '-\u{221e}']); eq((-1234567n).toLocaleString(), '-1,234,567'); eq([1.5, null, [1234]].toLocaleString(), '1.5,,1,234'); eq(new Float32Array([1234.5]).toLocaleString(), '1,234.5');
         const d = new Date(2024, 0, 15, 20, 5, 9); eq([d.toLocaleString(), d.toLocaleDateString(), d.toLocaleTimeString('en-US', {})], ['1/15/2024, 8:05:09 PM', '1/15/2024', '8:05:09 PM']); eq(new Date(NaN).toLocaleString(), 'Invalid Date');
         eq(['b', 'A', '\u{e4}', 'z', 'a', 'Z', 'ab', '_', '1', '\u{df}', 'st', '\u{e9}e', 'ef'].sort((a, b) => a.localeCompare(b)).join(), '_,1,a,A,\u{e4},ab,b,\u{e9}e,ef,\u{df},st,z,Z');
         eq(['a'.localeCompare('a'), 'e\\u0301'.localeCompare('\u{e9}'), ''.localeCompare('\\u0001'), 'r\u{e9}sum\u{e9}'.localeCompare('Resume'), 'co-op'.localeCompare('coop')], [0, 0, 0, 1, -1]);
         eq('stra\u{df}e'.toLocaleUpperCase('de'), 'STRASSE'); eq('\u{130}'.toLocaleLowerCase().length, 2);",
    );
    check(
        "for (const refused of [() => (1).toLocaleString('de'), () => (1).toLocaleString(['de-DE', 'en']), () => (1).toLocaleString('en-US', { style: 'percent' }), () => 1n.toLocaleString('fr'), () => [1].toLocaleString('de'), () => new Float64Array(1).toLocaleString('de'),
            () => new Date(0).toLocaleString('en-GB'), () => new Date(0).toLocaleDateString(undefined, { month: 'long' }), () => new Date(0).toLocaleTimeString([], { timeZone: 'UTC' }), () => 'a'.localeCompare('b', 'sv'), () => 'a'.localeCompare('b', undefined, { numeric: true }),
            () => 'i'.toLocaleUpperCase('tr'), () => 'I'.toLocaleLowerCase(['az-Latn']), () => 'a'.localeCompare('b', 'not a locale')]) {
            throws('RangeError', refused);
            let message = ''; try { refused(); } catch (error) { message = error.message; }
            if (!/Intl|Incorrect locale/.test(message)) throw new Error(`${refused}: ${message}`);
         }
         throws('TypeError', () => Number.prototype.toLocaleString.call('x')); throws('TypeError', () => Date.prototype.toLocaleString.call({})); throws('TypeError', () => String.prototype.localeCompare.call(null)); throws('TypeError', () => (1).toLocaleString(null)); throws('ReferenceError', () => new Intl.NumberFormat());",
    );
}
