import {
  add, addBusinessDays, addDays, addMonths, areIntervalsOverlapping, clamp, closestTo, compareAsc, differenceInBusinessDays,
  differenceInCalendarDays, differenceInDays, differenceInMonths, differenceInYears, eachDayOfInterval, eachWeekendOfMonth, endOfMonth,
  endOfQuarter, format, formatDistance, formatDistanceStrict, formatDuration, formatISO, formatRelative, formatRFC3339, formatRFC7231,
  getDaysInMonth, getISOWeek, getOverlappingDaysInIntervals, getQuarter, getUnixTime, getWeek, intervalToDuration, isAfter, isEqual,
  isLeapYear, isMatch, isSameDay, isValid, isWeekend, isWithinInterval, lastDayOfWeek, lightFormat, max, nextMonday, parse, parseISO,
  parseJSON, roundToNearestMinutes, set, setDay, startOfISOWeek, startOfWeek, sub, toDate,
} from "date-fns";
import { de, ja } from "date-fns/locale";

const at = new Date(2024, 1, 29, 13, 5, 9, 123), later = new Date(2026, 10, 26, 8, 0);
const show = (date) => format(date, "yyyy-MM-dd HH:mm:ss.SSS");

export default {
  formats: () => ["yyyy-MM-dd'T'HH:mm:ss.SSS", "EEEE, do MMMM yyyy", "PPPPpppp", "h:mm aaaa", "'Q'Q II RRRR DDD", "t T", "yo BBBB", "P p"].map((pattern) => {
    try { return format(at, pattern, { useAdditionalDayOfYearTokens: true }); } catch (error) { return `${error.name}: ${error.message}`; }
  }),
  locales: () => [format(at, "PPPP", { locale: de }), format(at, "PPPP", { locale: ja }), formatDistance(at, later, { locale: de, addSuffix: true })],
  others: () => [formatISO(at, { representation: "date" }), formatRFC7231(at), formatRFC3339(at, { fractionDigits: 3 }), lightFormat(at, "dd.MM.yy"), formatRelative(at, addDays(at, 3)),
    formatDistance(at, later), formatDistanceStrict(at, later, { unit: "day" }), formatDuration({ years: 2, months: 9, minutes: 1 })],
  parsing: () => [parse("29.02.2024", "dd.MM.yyyy", at), parse("11:30 PM", "hh:mm a", at), parse("2024 366", "yyyy DDD", at, { useAdditionalDayOfYearTokens: true }), parse("Mar 5th, 2020", "MMM do, yyyy", at),
    parseISO("2019-W03-4"), parseISO("2024-02-29T12:00:00"), parse("x", "yyyy", at)].map((date) => (isValid(date) ? show(date) : "invalid")).concat(
    isMatch("29.02.2023", "dd.MM.yyyy"), parseJSON("2000-03-15T05:20:10.123Z").getTime()),
  arithmetic: () => [add(at, { years: 1, months: 2, weeks: 1, days: 7, hours: 5 }), sub(at, { months: 2 }), addMonths(at, 12), addBusinessDays(at, 10), endOfMonth(at), endOfQuarter(at),
    startOfWeek(at, { weekStartsOn: 1 }), startOfISOWeek(at), lastDayOfWeek(at), nextMonday(at), setDay(at, 0), set(at, { month: 0, date: 31 }), roundToNearestMinutes(at, { nearestTo: 15 }), max([at, later]), closestTo(at, [later, new Date(0)]), clamp(at, { start: later, end: later }), toDate(5)].map(show),
  differences: () => [differenceInDays(later, at), differenceInMonths(later, at), differenceInYears(later, at), differenceInCalendarDays(later, at), differenceInBusinessDays(later, at), intervalToDuration({ start: at, end: later }), compareAsc(at, later)],
  questions: () => [isAfter(at, later), isEqual(at, new Date(at)), isLeapYear(at), isSameDay(at, later), isValid(new Date(NaN)), isWeekend(at), isWithinInterval(at, { start: 0, end: later }), getDaysInMonth(at), getISOWeek(at), getQuarter(at), getWeek(at, { locale: de }), getUnixTime(at) > 0,
    areIntervalsOverlapping({ start: 0, end: at }, { start: at, end: later }), getOverlappingDaysInIntervals({ start: 0, end: later }, { start: at, end: later })],
  intervals: () => [eachDayOfInterval({ start: at, end: addDays(at, 3) }), eachWeekendOfMonth(at)].map((days) => days.map(show)),
};
