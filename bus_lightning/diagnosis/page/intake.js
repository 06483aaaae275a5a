// Runs behind drop.js when the intake appears on the page; `element` and `trigger` come from Gradio.
const drop = element.querySelector(".drop");
const most = Number(drop.querySelector("input[type=file]").dataset.most);

async function give(file) {
  if (file.size > most) {
    trigger("upload", { bytes: file.size });
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
  trigger("upload", given);
}

takeFiles(drop, give, (files) => trigger("upload", { files }));
for (const button of element.querySelectorAll("[data-sample]")) {
  button.addEventListener("click", () => trigger("select", { sample: Number(button.dataset.sample) }));
}
