"""How good are the answers: figures over labelled radiographs, a page of them, model cards."""
