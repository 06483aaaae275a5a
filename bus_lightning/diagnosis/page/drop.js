// Take the files that are chosen or dropped. A plain script, because Gradio cannot run a module: both pages have it.

// Give each file to a function; `drop` is the place for dropping, with the input for choosing in it.
function takeFiles(drop, give) {
  const input = drop.querySelector("input[type=file]");
  const giveFirst = ([file]) => {
    if (file) give(file);
  };
  input.addEventListener("change", () => {
    giveFirst(input.files);
    input.value = ""; // allows the same file again, and leaves no name in the page
  });
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      event.stopPropagation();
      drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
    });
  }
  drop.addEventListener("drop", (event) => giveFirst(event.dataTransfer.files));
}
