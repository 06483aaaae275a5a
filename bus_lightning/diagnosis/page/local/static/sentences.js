// Fill the sentences that Python writes, such as "Most likely {answer}: {share:.0%}".

const FORMATS = {
  "": (value) => String(value),
  ",": (value) => number(value, 0),
  ",.0f": (value) => number(value, 0),
  "z.0f": (value) => number(value, 0, false),
  g: (value) => String(Number(value.toPrecision(6))),
  ".0%": (value) => `${number(100 * value, 0)}%`,
  ".1%": (value) => `${number(100 * value, 1)}%`,
};

export function fill(sentence, values) {
  return sentence.replace(/\{(\w+)(?::([^}]*))?\}/g, (_, name, format = "") => FORMATS[format](values[name]));
}

function number(value, digits, groups = true) {
  const exact = { minimumFractionDigits: digits, maximumFractionDigits: digits, roundingMode: "halfEven" };
  const options = { ...exact, signDisplay: "negative", useGrouping: groups }; // -0 has no sign
  return new Intl.NumberFormat("en-US", options).format(value);
}
