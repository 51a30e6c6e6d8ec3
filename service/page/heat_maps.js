// Which heat map is wanted, asked for and shown: of one finding, on whichever radiograph is open.

import * as evidence from "./evidence.js";
import { announce, byId } from "./dom.js";
import { PNEUMONIA, press } from "./findings.js";
import { drawLegend } from "./heat.js";

/** Follows the reader's choice of a finding from radiograph to radiograph. */
export class HeatMaps {
  #desk;
  #viewer;
  #finding = PNEUMONIA;
  #turn = 0;

  constructor(desk, viewer) {
    this.#desk = desk;
    this.#viewer = viewer;
  }

  /** A finding was clicked: show its map, or hide it where it is shown. */
  click(finding) {
    const hide = this.#viewer.showHeat && finding === this.#finding;
    this.#finding = finding;
    this.#viewer.set({ showHeat: !hide });
    this.refresh();
  }

  toggle() {
    this.click(this.#finding);
  }

  /** Show what is wanted of the radiograph that is open now. */
  async refresh({ faithfulness = false } = {}) {
    const turn = (this.#turn += 1);
    const { current } = this.#desk;
    const wanted = this.#viewer.showHeat && current?.prediction;
    this.#settle(wanted);
    if (!wanted) {
      current?.stopExplaining();
      evidence.idle();
      this.#viewer.explain(null);
      return;
    }
    if (!(this.#finding in current.prediction.pathologies)) this.#finding = PNEUMONIA;
    press(byId("findings"), this.#finding);
    if (!faithfulness) {
      this.#viewer.explain(null);
      evidence.waiting(this.#finding);
    }
    byId("evidence").setAttribute("aria-busy", "true");
    try {
      const fields = { target: this.#finding, ...evidence.chosen() };
      const answer = await current.explain(faithfulness ? { ...fields, faithfulness } : fields);
      if (turn !== this.#turn) return;
      this.#viewer.explain(answer);
      announce(evidence.show(answer));
      evidence.warn([...current.prediction.warnings, ...answer.warnings], this.notice);
      byId("legend").hidden = !answer.map;
    } catch (fault) {
      if (turn === this.#turn && fault.name !== "AbortError") {
        evidence.refused(fault);
        announce(byId("evidence-text").textContent);
      }
    } finally {
      if (turn === this.#turn) byId("evidence").removeAttribute("aria-busy");
    }
  }

  /** Make the map plainer (-) or stronger (+), by hundredths. */
  fade(by) {
    byId("opacity").value = Number(byId("opacity").value) + by;
    this.takeOpacity();
  }

  takeOpacity() {
    const opacity = Number(byId("opacity").value) / 100;
    byId("opacity").setAttribute("aria-valuetext", `${Math.round(100 * opacity)} %`);
    this.#viewer.set({ opacity });
    drawLegend(byId("legend-bar"), opacity);
  }

  #settle(wanted) {
    byId("heat").setAttribute("aria-pressed", String(this.#viewer.showHeat));
    press(byId("findings"), wanted ? this.#finding : null);
    byId("legend").hidden = true;
  }
}
