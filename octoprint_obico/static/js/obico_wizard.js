/* The pages of the wizard share the settings page's model; this only keeps a code from being left behind unused. */
$(function () {
    "use strict";

    function ObicoWizardViewModel(parameters) {
        var self = this;
        self.obico = parameters[0];

        self.onWizardDetails = function () {
            if (self.obico.mayLook()) self.obico.load();
        };
        self.onBeforeWizardTabChange = function (next, current) {
            if (!_.startsWith(current, "wizard_plugin_obico_link") || self.obico.linked()) return true;
            if (self.obico.busy()) {
                self.obico.say(gettext("One moment: the server is being asked."), false);
                return false;
            }
            if (self.obico.code()) {
                self.obico.say(gettext("Press “Link” first, or empty the field for the code to do this later."), false);
                return false;
            }
            return true;
        };
    }

    OCTOPRINT_VIEWMODELS.push({
        construct: ObicoWizardViewModel,
        name: "obicoWizardViewModel",
        dependencies: ["obicoViewModel"]
    });
});
