// At most three hobbies; a form that is sent once.
"use strict";
for (const group of document.querySelectorAll(".chips[data-most]")) {
  const most = Number(group.dataset.most);
  const boxes = [...group.querySelectorAll("input")];
  const limit = () => {
    const full = boxes.filter((box) => box.checked).length >= most;
    for (const box of boxes) box.disabled = full && !box.checked;
  };
  group.addEventListener("change", limit);
  limit();
}
for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", () => {
    // Later, so that the button's own value is sent.
    setTimeout(() => { for (const button of form.querySelectorAll("button")) button.disabled = true; });
  });
  // A page from the browser's history may be sent again.
  addEventListener("pageshow", () => { for (const button of form.querySelectorAll("button")) button.disabled = false; });
}
