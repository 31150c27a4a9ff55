declare module "*.css";

/** Where the style of the formulas is, which is loaded with them. */
declare const FORMULAS_CSS: string;
