"""The classical peer: openSMILE functionals and a linear support vector machine."""
