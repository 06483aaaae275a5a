// Put a diagnosis into words, as wording.py does, with the sentences that Python wrote.

import { roundHalfEven } from "./resize.js";
import { fill } from "./sentences.js";

const MALIGNANT = "malignant";

// Returns the texts of the page; each probability is [class, share in words, share], the most likely first.
export function describe({ image, diagnosis, name }, bundle) {
  const say = (sentence, values = {}) => fill(bundle.sentences[sentence], values);
  const shares = [...diagnosis.probabilities].sort(([, a], [, b]) => b - a);
  const doubts = diagnosis.doubts.map(({ code, ...values }) => say(code, values));
  return {
    doubts: doubts.length ? doubts : [say("no_doubt")],
    isDoubted: doubts.length > 0,
    answer: answerOf(diagnosis, shares, say),
    probabilities: shares.map(([label, share]) => [label, percent(share, say), share]),
    calibration: shares.length ? calibrationOf(diagnosis.answer, shares[0][1], say) : "",
    malignant: malignantOf(diagnosis, say),
    isFlagged: Boolean(diagnosis.flagged),
    measurements: measurementsOf(diagnosis.measurements, say),
    picture: pictureOf(diagnosis, say),
    caption: captionOf(diagnosis, say),
    notes: [
      say("image_note", { name, width: image.width, height: image.height, made_with: bundle.made_with }),
      say("burned_in_note"),
      say("precision_note"),
      say("not_computed"),
    ],
  };
}

function percent(share, say) {
  if (share >= 0.995) return say("almost_certain");
  return share <= 0.005 ? say("hardly_possible") : say("share", { share });
}

function percentInTenths(share, say) {
  if (share >= 0.9995) return say("almost_certain_in_tenths");
  return share <= 0.0005 ? say("hardly_possible_in_tenths") : say("share_in_tenths", { share });
}

function calibrationOf(answer, share, say) {
  return say("calibration", { share: Math.min(99, roundHalfEven(100 * share)), answer }); // never "about 100 of 100"
}

function answerOf({ answer, measurements }, shares, say) {
  if (answer !== null) return say("most_likely", { answer, share: percent(shares[0][1], say) });
  const { lesions } = measurements;
  return say(!lesions ? "none_outlined" : lesions === 1 ? "one_outlined" : "many_outlined", { lesions });
}

function malignantOf({ flagged, probabilities }, say) {
  if (flagged === null) return say("no_threshold");
  const probability = probabilities.find(([label]) => label === MALIGNANT)[1];
  return say(flagged ? "flagged" : "not_flagged", { share: percentInTenths(probability, say) });
}

function measurementsOf(lesion, say) {
  if (!lesion) return [[say("lesion"), say("no_outline")]];
  if (!lesion.lesions) return [[say("lesion"), say("no_lesion")]];
  const pixels = (length) => say("pixels", { pixels: length });
  return [
    [say("lesions"), lesion.lesions === 1 ? "1" : say("several_lesions_measured", { lesions: lesion.lesions })],
    [say("area"), pixels(lesion.area)],
    [say("long_axis"), pixels(lesion.longAxis)],
    [say("short_axis"), pixels(lesion.shortAxis)],
    [say("direction"), say("degrees", { degrees: lesion.direction })],
    [say("box"), say("box_place", lesion.box)],
    [say("at_border"), say(lesion.touchesBorder ? "yes" : "no")],
    [say("pixel"), say("pixel_unknown")],
  ];
}

function pictureOf({ mask, heat, measurements }, say) {
  const outline = measurements?.lesions ? "picture_outline" : "picture_speck"; // specks are drawn, too
  const layers = [mask && isDrawn(mask.data) && say(outline), heat && isDrawn(heat) && say("picture_heat")];
  const shown = layers.filter(Boolean);
  return shown.length ? say("picture_with", { layers: shown.join(say("and")) }) : say("picture");
}

function captionOf({ mask, heat, answer, measurements }, say) {
  const outline = measurements?.lesions ? "outline_caption" : "speck_caption";
  const line = say(!mask ? "no_outline_caption" : isDrawn(mask.data) ? outline : "empty_outline_caption");
  if (answer === null) return line;
  if (!heat) return `${line} ${say("no_heat_caption")}`;
  return `${line} ${say(isDrawn(heat) ? "heat_caption" : "empty_heat_caption", { answer })}`;
}

function isDrawn(layer) {
  return layer.some((value) => value > 0);
}
