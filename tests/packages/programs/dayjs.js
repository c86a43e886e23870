import dayjs from "dayjs";
import advancedFormat from "dayjs/plugin/advancedFormat";
import customParseFormat from "dayjs/plugin/customParseFormat";
import duration from "dayjs/plugin/duration";
import isBetween from "dayjs/plugin/isBetween";
import isoWeek from "dayjs/plugin/isoWeek";
import relativeTime from "dayjs/plugin/relativeTime";
import utc from "dayjs/plugin/utc";
import weekOfYear from "dayjs/plugin/weekOfYear";
import weekYear from "dayjs/plugin/weekYear";
import "dayjs/locale/de";

for (const plugin of [advancedFormat, customParseFormat, duration, isBetween, isoWeek, relativeTime, utc, weekOfYear, weekYear]) dayjs.extend(plugin);
const at = () => dayjs.utc("2024-02-29T13:05:09.123Z");

export default {
  formats: () => ["YYYY-MM-DD HH:mm:ss.SSS", "dddd, MMMM D YYYY h:mm A", "[Q]Q Do wo gggg-ww X x", "ZZ"].map((format) => at().format(format)),
  arithmetic: () => [
    at().add(1, "year"), at().subtract(1, "month"), at().startOf("week"), at().endOf("month"), at().set("hour", 0), at().date(31), at().isoWeek(1),
  ].map((time) => time.toISOString()),
  differences: () => ["year", "month", "day", "hour", "ms"].map((unit) => dayjs.utc("2026-11-26").diff(at(), unit, true)),
  questions: () => [
    at().isBefore("2025-01-01"), at().isSame(at(), "day"), at().isBetween("2024-01-01", "2024-12-31"), at().daysInMonth(), dayjs("nonsense").isValid(),
    at().isoWeek(), at().week(), at().toArray?.() ?? null, at().toObject?.() ?? null, at().unix(), at().utcOffset(120).format(), at().toJSON(),
  ],
  parsing: () => [
    dayjs.utc("12-25-1995", "MM-DD-YYYY").toISOString(), dayjs.utc("1995 12 25 07:08 pm", "YYYY MM DD hh:mm a").toISOString(),
    dayjs("2022-33-33", "YYYY-MM-DD", true).isValid(), dayjs.utc(86400000).toISOString(), dayjs.unix(1).utc().format(),
  ],
  words: () => [at().locale("de").format("dddd, D. MMMM YYYY"), at().from(dayjs.utc("2024-03-05")), at().locale("de").to(dayjs.utc("2034-03-05"))],
  durations: () => [dayjs.duration(100, "minutes").humanize(), dayjs.duration("P1Y2M3DT4H5M6S").format("YY-MM-DD HH:mm:ss"), dayjs.duration({ hours: 25 }).asDays(), dayjs.duration(1e6).toISOString()],
  local: () => [dayjs(0).valueOf(), dayjs(new Date(5)).valueOf(), dayjs("2020-01-01T00:00:00").format("YYYY-MM-DD HH:mm:ss"), `${at()}`],
};
