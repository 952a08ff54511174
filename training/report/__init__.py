"""``report.html``: how good a model is and where it errs, in one page that needs no network."""
