// Runs behind drop.js when the intake appears on the page; `element` and `trigger` come from Gradio.
const drop = element.querySelector(".drop");
const most = Number(drop.querySelector("input[type=file]").dataset.most);

// Say when the visitor asked: an answer that arrives after that to a later request is not shown.
const ask = (event, given, asked = performance.now()) => trigger(event, { ...given, asked });

async function give(file) {
  const asked = performance.now();
  if (file.size > most) {
    ask("upload", { bytes: file.size });
    return;
  }
  drop.classList.add("busy");
  const given = { path: null };
  try {
    // The name may be a patient's, so another one is sent.
    const form = new FormData();
    form.append("files", file, "file");
    const answer = await fetch("gradio_api/upload", { method: "POST", body: form });
    if (answer.ok) given.path = (await answer.json())[0];
    else given.refused = answer.status;
  } catch {
    // A folder or a missing file: the server reports it.
  }
  drop.classList.remove("busy");
  ask("upload", given, asked);
}

takeFiles(drop, give, (files) => ask("upload", { files }));
for (const button of element.querySelectorAll("[data-sample]")) {
  button.addEventListener("click", () => ask("select", { sample: Number(button.dataset.sample) }));
}
